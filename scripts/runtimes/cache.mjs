// @ts-check
/** The folder outside of the checkout where downloaded runtimes and compiled addons are kept. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

export const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "offheap", "runtimes");

/**
 * A folder of the cache, which `fill` makes when it is not there. It appears with all that is in it or not at all, also
 * when several of these scripts run at once.
 *
 * @param {string} name
 * @param {(empty: string) => Promise<void>} fill
 * @param {{ anew?: boolean }} [options] Anew: made although it is there.
 * @returns {Promise<string>}
 */
export async function cached(name, fill, { anew = false } = {}) {
  const folder = join(CACHE, name);
  if (existsSync(folder) && !anew) return folder;
  mkdirSync(dirname(folder), { recursive: true });
  const unfinished = mkdtempSync(`${folder}.`);
  try {
    await fill(unfinished);
    if (anew) rmSync(folder, { recursive: true, force: true });
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    // Another process may have made the same meanwhile.
    if (!/^(ENOTEMPTY|EEXIST|EPERM)$/.test(/** @type {NodeJS.ErrnoException} */ (error).code ?? "")) throw error;
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
