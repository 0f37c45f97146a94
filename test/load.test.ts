import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { loadAddon } from "../dist/load.js";
import { caught } from "./promises.js";

describe("loading the addon", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "offheap-"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("fails with the places that were searched and the commands that mend it", () => {
    const error = caught(() => loadAddon(root));
    expect(error.message).to.contain(`${process.platform}-${process.arch}`);
    expect(error.message).to.contain(`${join(root, "build", "Release")} (no such folder)`);
    expect(error.message).to.contain(join(root, "prebuilds", `${process.platform}-${process.arch}`));
    expect(error.message).to.contain("npm install");
    expect(error.cause).to.be.instanceOf(Error);
  });

  it("in a checkout names the command that compiles it", () => {
    writeFileSync(join(root, "binding.gyp"), "{}");
    expect(caught(() => loadAddon(root)).message).to.contain("npm run build:native");
  });

  it("says what it found when that does not load", () => {
    mkdirSync(join(root, "build", "Release"), { recursive: true });
    writeFileSync(join(root, "build", "Release", "offheap.node"), "no library");
    const error = caught(() => loadAddon(root));
    expect(error.message).to.contain(`${join(root, "build", "Release")} (offheap.node)`);
    expect((error.cause as Error).message).to.not.equal("");
  });
});
