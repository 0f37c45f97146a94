// @ts-check
/** What the package does on a platform for which nothing is prebuilt: this one, with its files removed. */
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { command } from "../runtimes/command.mjs";
import { check } from "./checks.mjs";
import { install } from "./installation.mjs";

/** @param {import("./tarball.mjs").Tarball} tarball @param {string} folder An empty one. */
export async function checkCompilation({ file }, folder) {
  const project = join(folder, "somebody's project");
  const installed = join(project, "node_modules", "offheap");
  const program = join(installed, "native", "compile.mjs");
  const line = `node '${program.replaceAll("'", "'\\''")}'`;
  // As in a shell of who runs this: `node` is this one.
  const environment = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
  const options = { cwd: project, env: { ...environment, OFFHEAP_BUFFERS: "" } };
  /** @param {string} code */
  const run = (code) => command(process.execPath, ["-p", code], options);

  const told = await check("without a prebuilt addon: the error has the command that compiles one", async () => {
    mkdirSync(folder, { recursive: true });
    await install(process.execPath, file, project, environment);
    rmSync(join(installed, "prebuilds", `${process.platform}-${process.arch}`), { recursive: true });
    const message = await run(`try { require("offheap") } catch (error) { error.message }`);
    if (!message.split("\n").includes(`    ${line}`)) throw new Error(`the error is\n${message}`);
    return line;
  });
  if (!told) return;
  await check("without a prebuilt addon: that command compiles both builds, and they load", async () => {
    await command("sh", ["-c", line], options);
    for (const buffers of ["v8", "napi"]) {
      const code = `process.env.OFFHEAP_BUFFERS = "${buffers}"; require("offheap").runtime.buffers`;
      const loaded = (await run(code)).trim();
      if (loaded !== buffers) throw new Error(`${loaded} was loaded in place of ${buffers}`);
    }
  });
}
