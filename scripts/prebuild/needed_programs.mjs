// @ts-check
/** Says which Debian packages have programs that are not there; installs none. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * Ends this process with code 2 when one is missing.
 *
 * @param {Record<string, string>} programs The name of the Debian package by program; a program with a path in it is
 *   looked for there only.
 */
export function needPrograms(programs) {
  const missing = Object.entries(programs).filter(([program]) => !isThere(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  console.error(`Not found: ${missing.map(([program]) => program).join(", ")}. On Debian and Ubuntu:`);
  console.error(`  apt-get install ${packages.join(" ")}`);
  process.exit(2);
}

/** @param {string} program */
function isThere(program) {
  const folders = program.includes("/") ? [""] : (process.env.PATH ?? "").split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
