/**
 * Node 20, with the Node-API build: a transfer list with an external ArrayBuffer in it is taken for granted and the
 * buffer silently copied, so that sender and receiver each have a block of their own where the program means one. Later
 * versions throw. Here we throw for them.
 */
import { MessagePort, Worker } from "node:worker_threads";
import { unsupported } from "./errors.js";
import type { NativeAddon } from "./native.js";

type Post = (this: unknown, value: unknown, transfer?: unknown, ...rest: unknown[]) => unknown;

const FIRST_NODE_THAT_THROWS = 21;

const { apply } = Reflect;

/** Makes whatever can transfer in this thread refuse blocks, if the runtime would copy them. */
export function guardTransfers(addon: NativeAddon): void {
  if (addon.buffers !== "napi" || !copiesSilently()) return;
  guard(MessagePort.prototype, "postMessage", addon);
  guard(Worker.prototype, "postMessage", addon);
  guard(globalThis, "structuredClone", addon);
}

function copiesSilently(): boolean {
  const { node, bun, deno, electron } = process.versions;
  const isNode = bun === undefined && deno === undefined && electron === undefined;
  return isNode && Number.parseInt(node, 10) < FIRST_NODE_THAT_THROWS;
}

function guard<Name extends string>(owner: { [Key in Name]: unknown }, name: Name, addon: NativeAddon): void {
  const original = Object.getOwnPropertyDescriptor(owner, name);
  const post = original?.value as Post | undefined;
  if (original === undefined || post === undefined) return;
  const guarded: Post = function (this: unknown, value, transfer, ...rest) {
    if (transfer === undefined || transfer === null) return apply(post, this, [value, transfer, ...rest]);
    return apply(post, this, [value, checkTransfer(transfer, addon), ...rest]);
  };
  Object.defineProperties(guarded, Object.getOwnPropertyDescriptors(post));
  Object.defineProperty(owner, name, { ...original, value: guarded });
}

/** A transfer list, or options with one: the same again, each of its parts read once. */
function checkTransfer(transfer: unknown, addon: NativeAddon): unknown {
  if (typeof transfer !== "object" || transfer === null) return transfer;
  if (Symbol.iterator in transfer) return checkList(transfer as Iterable<unknown>, addon);
  const { transfer: list, ...options } = transfer as { readonly transfer?: unknown };
  if (typeof list !== "object" || list === null || !(Symbol.iterator in list)) return transfer;
  return { ...options, transfer: checkList(list as Iterable<unknown>, addon) };
}

function checkList(list: Iterable<unknown>, addon: NativeAddon): unknown[] {
  const items = [...list];
  if (items.some((item) => addon.isBlock(item))) {
    throw unsupported(
      "The Node-API build of offheap cannot move a block to another thread or into a clone, and this version of Node " +
        "would copy it in silence. Leave it out of the transfer list to have a copy, use heap.allocShared where " +
        "both sides are to see the same bytes, or the V8 build of offheap, which moves blocks",
    );
  }
  return items;
}
