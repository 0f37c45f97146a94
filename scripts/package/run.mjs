// @ts-check
/**
 * `npm run test:package`: packs the checkout as it is and looks at what a user gets: what is in it, whether its types
 * are found, how old a Linux it loads on, and what happens when it is installed where there is no compiler, in every
 * runtime of scripts/runtimes/table.mjs; then whether it can be compiled where there is one and no prebuilt addon.
 *
 * Takes dist/ and prebuilds/ as they are: `npm run build:lib` and `npm run prebuild` make them. Writes a line for each
 * check, and at last "package: N passed, M failed". Ends with code 1 when one failed, 2 when something has to be run
 * first.
 */
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { summarize } from "./checks.mjs";
import { checkCompilation } from "./compilation.mjs";
import { checkContents } from "./contents.mjs";
import { checkInstallations } from "./installation.mjs";
import { checkMachinePaths } from "./machine_paths.mjs";
import { checkSymbolVersions } from "./symbol_versions.mjs";
import { pack, whatComesFirst } from "./tarball.mjs";
import { checkTypes } from "./types.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

const first = whatComesFirst(root);
if (first.length > 0) {
  console.error(`What is to be packed is not there. Run first: ${first.join(" && ")}`);
  process.exit(2);
}

const folder = realpathSync(mkdtempSync(join(tmpdir(), "offheap-package-")));
try {
  const tarball = await pack(root, folder);
  await checkContents(root, tarball);
  await checkTypes(root, tarball);
  await checkSymbolVersions(tarball);
  await checkMachinePaths(root, tarball);
  await checkInstallations(root, tarball, folder);
  await checkCompilation(tarball, join(folder, "without"));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = summarize() ? 0 : 1;
