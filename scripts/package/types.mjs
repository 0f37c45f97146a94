// @ts-check
/** Whether every way to resolve a module finds code and types that belong together. */
import { join } from "node:path";
import { command } from "../runtimes/command.mjs";
import { check } from "./checks.mjs";

/** @param {string} root The checkout. @param {import("./tarball.mjs").Tarball} tarball */
export async function checkTypes(root, { file }) {
  const programs = join(root, "node_modules", ".bin");
  await check("is described in package.json as publint wants it", async () => {
    await command(join(programs, "publint"), ["run", file, "--strict"]);
  });
  await check("has types that every resolution of TypeScript's finds: node10, node16, bundler", async () => {
    // There is nothing of ours at DefinitelyTyped to ask the registry for.
    const flags = ["--no-definitely-typed", "--format", "ascii", "--no-color", "--no-emoji"];
    await command(join(programs, "attw"), [file, ...flags]);
  });
}
