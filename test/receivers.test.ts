import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { Layout } from "../dist/layout.js";
import { Scope } from "../dist/scope.js";
import { describeForBothBindings } from "./bindings.js";
import { expectRefusal } from "./promises.js";

describeForBothBindings("a method on the wrong receiver", () => {
  for (const type of [Heap, Scope, Layout]) {
    it(`of ${type.name} is a TypeError with code ERR_INVALID_THIS`, () => {
      const members = Reflect.ownKeys(type.prototype).filter((key) => key !== "constructor");
      expect(members.length).to.be.greaterThan(3);
      for (const key of members) {
        const { get, value } = Object.getOwnPropertyDescriptor(type.prototype, key) as PropertyDescriptor;
        const method: unknown = get ?? value;
        if (typeof method !== "function") throw new Error(`${String(key)} is no method`);
        for (const receiver of [
          undefined,
          null,
          8,
          "heap",
          {},
          [],
          type,
          type.prototype,
          Object.create(type.prototype),
        ]) {
          expectRefusal("ERR_INVALID_THIS", () => Reflect.apply(method, receiver, [8, 8]));
        }
        const proxy = new Proxy(type === Heap ? new Heap() : {}, {});
        expectRefusal("ERR_INVALID_THIS", () => Reflect.apply(method, proxy, [8, 8]));
      }
    });
  }
});
