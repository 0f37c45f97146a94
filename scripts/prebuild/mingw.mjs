// @ts-check
/** Compiles the Node-API variant for Windows with mingw-w64, which node-gyp cannot drive. */
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { command } from "../runtimes/command.mjs";
import { inLanes } from "../runtimes/lanes.mjs";
import { napiCompilation } from "./gyp_sources.mjs";

/** With POSIX threads, without which there is no std::thread. */
export const WINDOWS_COMPILER = "x86_64-w64-mingw32-g++-posix";
const IMPORT_LIBRARY_MAKER = "x86_64-w64-mingw32-dlltool";

/** The names by which the addon knows itself and its host; node-gyp defines the same. */
const DEFINES = ["BUILDING_NODE_EXTENSION", "NODE_GYP_MODULE_NAME=offheap", "NDEBUG"];

/**
 * The result needs nothing but the system's own libraries, and is the same, byte for byte, whenever and wherever the
 * same compiler makes it.
 *
 * @param {string} root Sources, and node_modules with the headers of Node-API.
 * @param {string} folder Where to put offheap.napi.node.
 * @param {string} work An empty folder for what is made on the way.
 */
export async function compileForWindows(root, folder, work) {
  const packages = join(root, "node_modules");
  const headers = join(packages, "node-api-headers");
  const { sources, defines } = napiCompilation(root, "win");
  const flags = [
    ...["-std=gnu++20", "-O3", "-fvisibility=hidden", "-fno-exceptions", "-Wall", "-Wextra", "-Wno-unused-parameter"],
    ...[
      `-I${join(root, "native")}`,
      `-isystem${join(headers, "include")}`,
      `-isystem${join(packages, "node-addon-api")}`,
    ],
    // No path of this machine in what __FILE__ says.
    `-ffile-prefix-map=${root}=.`,
    ...[...defines, ...DEFINES].map((define) => `-D${define}`),
  ];
  mkdirSync(work, { recursive: true });
  const compiled = [...sources, join("native", "binding", "host_windows.cc")].map((source) => async () => {
    const object = join(work, source.replace(/[\\/]/g, "_").replace(/\.cc$/, ".o"));
    await command(WINDOWS_COMPILER, [...flags, "-c", join(root, source), "-o", object]);
    return object;
  });
  const objects = await inLanes(compiled, availableParallelism());
  // What the addon takes from NODE.EXE is looked up at its first call; host_windows.cc says where.
  const host = join(work, "libnode.a");
  await command(IMPORT_LIBRARY_MAKER, ["-d", join(headers, "def", "node_api.def"), "-D", "NODE.EXE", "-y", host]);
  // Left to itself the linker makes the base address out of the target's whole path, and the header out of the time.
  const same = ["-Wl,--disable-auto-image-base", "-Wl,--no-insert-timestamp"];
  await command(WINDOWS_COMPILER, [
    ...["-shared", "-static", "-s", "-Wl,--exclude-all-symbols", ...same],
    ...["-o", join(folder, "offheap.napi.node"), ...objects, host],
  ]);
}
