import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { addonFiles, type Variant, variantsToTry } from "../dist/addon_files.js";
import { loadAddon } from "../dist/load.js";
import { remedies } from "../dist/load_failure.js";
import { PACKAGE_ROOT } from "./child_process.js";
import { caught } from "./promises.js";
import { runtimeName } from "./runtime_features.js";
import { makeFolder, removeFolder } from "./temporary_folder.js";

const isNode = runtimeName === "node";
const platform = `${process.platform}-${process.arch}`;
const v8File = `offheap.abi${process.versions.modules}.node`;

describe("the variants of the addon", () => {
  it("are both for Node, the one for V8 first; any other runtime has the one for Node-API", () => {
    expect(variantsToTry(undefined, true)).to.deep.equal(["v8", "napi"]);
    expect(variantsToTry(undefined, false)).to.deep.equal(["napi"]);
    expect(variantsToTry(undefined)).to.deep.equal(variantsToTry(undefined, isNode));
  });

  it("are one when the environment variable says so, and as without it when it is empty", () => {
    expect(variantsToTry("v8", true)).to.deep.equal(["v8"]);
    expect(variantsToTry("napi", true)).to.deep.equal(["napi"]);
    expect(variantsToTry("napi", false)).to.deep.equal(["napi"]);
    expect(variantsToTry("", true)).to.deep.equal(["v8", "napi"]);
  });

  it("do not include the one for V8 where there is no Node, whatever the environment variable says", () => {
    const { message } = caught(() => variantsToTry("v8", false));
    expect(message).to.match(/^The environment variable OFFHEAP_BUFFERS asks for the variant "v8", which is for Node/);
  });

  it("have no other names", () => {
    for (const asked of ["V8", "node", " napi"]) {
      const { message } = caught(() => variantsToTry(asked));
      expect(message).to.equal(
        `The environment variable OFFHEAP_BUFFERS must be "v8" or "napi", or not be set. Received "${asked}".`,
      );
    }
  });

  it("lie in the local build, or else among the prebuilt files", () => {
    const inFolders = (name: string) => [join("at", "build", "Release", name), join("at", "prebuilds", platform, name)];
    expect(addonFiles("at", "v8")).to.deep.equal(inFolders(v8File));
    expect(addonFiles("at", "napi")).to.deep.equal(inFolders("offheap.napi.node"));
  });
});

describe("loading the addon", () => {
  const asked = process.env.OFFHEAP_BUFFERS;
  let root: string;
  beforeEach(() => {
    delete process.env.OFFHEAP_BUFFERS;
    root = makeFolder();
  });
  afterEach(() => {
    if (asked === undefined) delete process.env.OFFHEAP_BUFFERS;
    else process.env.OFFHEAP_BUFFERS = asked;
    removeFolder(root);
  });

  /**
   * Puts the addon there, as it was compiled for this runtime. Where only one variant was, that one stands for the other:
   * the loader goes by the names.
   */
  const putAddon = (file: string, variant: Variant) => {
    mkdirSync(dirname(file), { recursive: true });
    const files = [variant, "napi" as const].flatMap((one) => addonFiles(PACKAGE_ROOT, one));
    copyFileSync(files.find(existsSync) ?? `no addon for ${variant}`, file);
  };
  /** Puts something there that no runtime can load. */
  const putJunk = (file: string) => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "no library");
  };
  /** Every file that is tried here, in order. */
  const filesOf = (folder: string) =>
    variantsToTry(undefined).flatMap((variant) => addonFiles(folder, variant).map((file) => ({ file, variant })));

  it("takes the first file that loads, and passes over those that do not", () => {
    for (const right of filesOf(root).keys()) {
      const folder = join(root, String(right));
      for (const [index, { file, variant }] of filesOf(folder).entries()) {
        if (index === right) putAddon(file, variant);
        else putJunk(file);
      }
      const heap = new (loadAddon(folder).Heap)({ limit: Infinity, buckets: undefined });
      expect(heap.blocksInUse()).to.equal(0);
    }
  });

  it("fails with each place, what is there, what the loader said, and the commands that mend it", () => {
    const files = filesOf(root).map(({ file }) => file);
    const missing = caught(() => loadAddon(root));
    expect(missing.message).to.contain(`${platform}, `).and.to.contain(process.versions.modules);
    for (const file of files) expect(missing.message).to.contain(`  ${file}\n    no such folder\n`);
    expect(missing.message.endsWith(`\nTo mend it:\n${remedies(root).join("\n")}`)).to.equal(true);
    expect(missing.cause).to.equal(undefined);

    const [last = ""] = files.slice(-1);
    putJunk(last);
    putJunk(join(root, "build", "Release", "other.node"));
    const one = caught(() => loadAddon(root));
    expect(one.message).to.contain(`  ${files[0]}\n    no such file; in its folder: other.node\n`);
    expect(one.message).to.contain(`  ${last}\n    does not load: ${(one.cause as Error).message.split("\n")[0]}`);

    for (const file of files) putJunk(file);
    const { cause } = caught(() => loadAddon(root));
    expect(cause).to.be.instanceOf(AggregateError);
    expect((cause as AggregateError).errors).to.have.length(files.length);
  });

  for (const [variant, other] of [
    ["v8", "napi"],
    ["napi", "v8"],
  ] as const) {
    if (!isNode && variant === "v8") continue;
    it(`tries nothing but ${variant} when the environment variable says so, and names it when that fails`, () => {
      process.env.OFFHEAP_BUFFERS = variant;
      for (const file of addonFiles(root, variant)) putJunk(file);
      for (const file of addonFiles(root, other)) if (isNode) putAddon(file, other);
      const { message } = caught(() => loadAddon(root));
      expect(message).to.contain(`The environment variable OFFHEAP_BUFFERS is set to "${variant}"`);
      for (const file of addonFiles(root, variant)) expect(message).to.contain(file);
      for (const file of addonFiles(root, other)) expect(message).to.not.contain(file);

      for (const file of addonFiles(root, variant)) putAddon(file, variant);
      expect(loadAddon(root)).to.have.property("Heap");
    });
  }

  it("refuses what the environment variable cannot be, here", () => {
    const wrong = isNode ? "paper" : "v8";
    process.env.OFFHEAP_BUFFERS = wrong;
    for (const { file, variant } of filesOf(root)) putAddon(file, variant);
    expect(caught(() => loadAddon(root)).message)
      .to.contain("OFFHEAP_BUFFERS")
      .and.to.contain(`"${wrong}"`);
  });
});

describe("what mends it when the addon does not load", () => {
  let root: string;
  beforeEach(() => {
    root = makeFolder();
  });
  afterEach(() => removeFolder(root));

  /** As in a shell that takes the path for what it is. */
  const [quote, quoteInside] = process.platform === "win32" ? ['"', "'"] : ["'", "'\\''"];

  it("is compiling it, or installing again; what is prebuilt is named", () => {
    const lines = [
      "  Compile the addon for this machine. It takes a C++20 compiler, make and Python 3.",
      `    node ${quote}${join(root, "native", "compile.mjs")}${quote}`,
      "  If node_modules was copied from another machine or platform, remove it and install again on this one:",
      "    npm install",
    ];
    expect(remedies(root, false)).to.deep.equal([...lines, "  Prebuilt in this package: nothing."]);

    for (const prebuilt of ["plan9-mips", "amiga-m68k"]) {
      mkdirSync(join(root, "prebuilds", prebuilt), { recursive: true });
      writeFileSync(join(root, "prebuilds", prebuilt, "offheap.napi.node"), "");
    }
    writeFileSync(join(root, "prebuilds", "README.md"), "");
    expect(remedies(root, false)).to.deep.equal([...lines, "  Prebuilt in this package: amiga-m68k, plan9-mips."]);
  });

  it("in a checkout is its own command", () => {
    writeFileSync(join(root, "binding.gyp"), "{}");
    expect(remedies(root, false)).to.deep.equal([
      "  Compile the addon in this checkout. It takes a C++20 compiler, make and Python 3.",
      `    cd ${quote}${root}${quote} && npm run build:native`,
    ]);
  });

  it("is one word for the shell whatever is in the path", () => {
    const [, command] = remedies(join("it's", "a $(path)"), false);
    const path = join(`it${quoteInside}s`, "a $(path)", "native", "compile.mjs");
    expect(command).to.equal(`    node ${quote}${path}${quote}`);
  });

  it("is nothing with musl, and is said to be", () => {
    expect(remedies(root, true)).to.deep.equal([
      "  This is Linux with musl, and the addon needs glibc: here it loads neither prebuilt nor compiled.",
    ]);
  });
});
