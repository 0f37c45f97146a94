// @ts-check
/**
 * `node scripts/package/smoke.mjs <tarball>`: installs a packed package into an empty folder, as somebody without a
 * compiler would, and runs the README's first example there by import and by require, with each build of the addon.
 * What it prints must be what its comments say. Needs nothing but Node and npm.
 *
 *   --buffers v8,napi    the builds that must be in it for the Node and the system that run this
 *
 * Ends with code 1 when something is not as it should be, 2 when it was called in a wrong way.
 */
import { execFileSync, execSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { firstExample } from "./readme_example.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

const { values, positionals } = parseArgs({
  options: { buffers: { type: "string", default: "v8,napi" } },
  allowPositionals: true,
});
const [tarball, ...others] = positionals;
if (tarball === undefined || others.length > 0) {
  console.error("usage: node scripts/package/smoke.mjs <tarball> [--buffers v8,napi]");
  process.exit(2);
}

const { imported, required, printed: expectedLines } = firstExample(root);
const folder = mkdtempSync(join(tmpdir(), "offheap-smoke-"));
try {
  install(folder, tarball);
  for (const buffers of values.buffers.split(",")) {
    const asking = `${imported}\nimport { runtime } from "offheap";\nconsole.log(runtime.buffers);\n`;
    run(folder, "example.mjs", asking, buffers);
    run(folder, "example.cjs", `${required}\nconsole.log(require("offheap").runtime.buffers);\n`, buffers);
  }
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** @param {string} empty @param {string} packed */
function install(empty, packed) {
  writeFileSync(join(empty, "package.json"), "{}");
  // Under a name of ours: npm is a shell script on Windows, and a path of the caller's has no business in a shell.
  copyFileSync(packed, join(empty, "package.tgz"));
  execSync("npm install --ignore-scripts --no-audit --no-fund ./package.tgz", { cwd: empty, stdio: "inherit" });
}

/** @param {string} place @param {string} name @param {string} code @param {string} buffers */
function run(place, name, code, buffers) {
  writeFileSync(join(place, name), code);
  const printed = execFileSync(process.execPath, [name], {
    cwd: place,
    env: { ...process.env, OFFHEAP_BUFFERS: buffers },
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  const lines = printed.trimEnd().split(/\r?\n/);
  const expected = [...expectedLines, buffers];
  const good = lines.length === expected.length && lines.every((line, index) => line === expected[index]);
  console.log(
    `${name}, Node ${process.version} ${process.platform}-${process.arch}, ${buffers}: ${good ? "good" : "WRONG"}`,
  );
  if (good) return;
  console.log(`printed:\n${lines.join("\n")}\nexpected:\n${expected.join("\n")}`);
  process.exitCode = 1;
}
