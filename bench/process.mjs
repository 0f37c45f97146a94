// @ts-check
/** The program of a contender's process: prepares the job it is told, then takes a sample each time it is asked. */
const [module, input] = process.argv.slice(2);
const { prepare } = await import(String(module));
const sample = await prepare(JSON.parse(String(input)));

process.on("disconnect", () => process.exit());
process.on("message", async () => process.send?.(await sample()));
process.send?.("ready");
