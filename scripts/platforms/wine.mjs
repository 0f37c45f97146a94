// @ts-check
/** Wine, where Windows programs run on Linux: set up once, in the cache, and used from there. */
import { join } from "node:path";
import { CACHE, cached } from "../runtimes/cache.mjs";
import { command } from "../runtimes/command.mjs";

/** Debian's is not on the PATH. */
export const WINE = "/usr/lib/wine/wine64";

/** The Debian packages of the programs used here. */
export const WINE_PROGRAMS = { [WINE]: "wine64", wineserver: "wine", winecfg: "wine" };

/**
 * What a program needs in its environment to run in that Wine: no messages of Wine's own, no questions about .NET and
 * HTML, no window.
 *
 * @param {string} folder
 * @returns {NodeJS.ProcessEnv}
 */
function environment(folder) {
  return { WINEPREFIX: folder, WINEDEBUG: "-all", WINEDLLOVERRIDES: "mscoree,mshtml=", DISPLAY: undefined };
}

/** @returns {Promise<NodeJS.ProcessEnv>} What to add to the environment of a program under Wine. */
export async function prepareWine() {
  const version = (await command(WINE, ["--version"])).trim().replace(/[^\w.-]+/g, "-");
  for (let attempt = 1; ; attempt++) {
    try {
      return environment(await cached(join("wine", version), setUp));
    } catch (error) {
      // Now and then it fails for no reason that is known.
      if (attempt === 2) throw error;
      console.log(`setting up Wine failed, and is tried once more: ${error}`);
    }
  }
}

/** @param {string} folder An empty one. */
async function setUp(folder) {
  console.log(`setting up Wine in ${CACHE}`);
  const env = { ...process.env, ...environment(folder) };
  await command(WINE, ["wineboot", "-i"], { env });
  await command("wineserver", ["-w"], { env });
  // Node refuses older ones.
  await command("winecfg", ["-v", "win10"], { env });
  // Or each crash would start a debugger, and wait for it.
  const key = "HKLM\\Software\\Microsoft\\Windows NT\\CurrentVersion\\AeDebug";
  await command(WINE, ["reg", "add", key, "/v", "Debugger", "/t", "REG_SZ", "/d", "", "/f"], { env });
  // All is written when it has ended; the folder is moved then.
  await command("wineserver", ["-w"], { env });
}
