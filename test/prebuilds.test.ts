/** `npm run prebuild -- --here`: what is published is what node-gyp built, under the names the loader looks for. */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect } from "chai";
import { addonFiles, variantsToTry } from "../dist/addon_files.js";
import { loadAddon } from "../dist/load.js";
import { PACKAGE_ROOT } from "./child_process.js";
import { makeFolder, removeFolder } from "./temporary_folder.js";

describe("the prebuilt files", () => {
  let root: string;
  beforeEach(() => {
    root = makeFolder();
  });
  afterEach(() => removeFolder(root));

  const prebuild = () =>
    spawnSync(process.execPath, [join(PACKAGE_ROOT, "scripts", "prebuild", "run.mjs"), "--here", root], {
      encoding: "utf8",
    });

  it("are made of what was built, and load", () => {
    const built = join(root, "build", "Release");
    mkdirSync(built, { recursive: true });
    const addons = variantsToTry("")
      .flatMap((variant) => addonFiles(PACKAGE_ROOT, variant))
      .filter(existsSync);
    for (const addon of addons) copyFileSync(addon, join(built, basename(addon)));
    writeFileSync(join(built, "other.node"), "not ours");

    const { status, stderr } = prebuild();
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: "" });
    const folder = join(root, "prebuilds", `${process.platform}-${process.arch}`);
    expect(new Set(readdirSync(folder))).to.deep.equal(new Set(addons.map((addon) => basename(addon))));
    rmSync(join(root, "build"), { recursive: true });
    expect(loadAddon(root)).to.have.property("Heap");
  });

  it("are not made of nothing", () => {
    const { status, stderr } = prebuild();
    expect(status).to.equal(1);
    expect(stderr).to.contain("npm run build:native");
  });
});
