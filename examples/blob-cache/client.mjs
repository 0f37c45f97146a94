// @ts-check
/**
 * The load, as a process of its own:
 *
 *     node examples/blob-cache/client.mjs --url http://127.0.0.1:8080 --requests 2000
 *
 * It cuts a large file, by default the Node executable that runs it, into objects, stores and fetches them, some far
 * more often than others, and stores again what the cache had to forget. Every body that comes back is hashed and must
 * be the one that was stored, to the last bit. It ends with code 1 when one was not, or when a request failed.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Load } from "./load.mjs";
import { cutIntoObjects, randomNumbers } from "./objects.mjs";
import { numberFlag, runAsProgram, UsageError } from "./program.mjs";

runAsProgram(async () => {
  const { values } = parseArgs({
    options: {
      url: { type: "string" },
      file: { type: "string", default: process.execPath },
      requests: { type: "string", default: "2000" },
      seconds: { type: "string", default: "20" },
      concurrency: { type: "string", default: "16" },
      seed: { type: "string", default: "1" },
    },
  });
  if (values.url === undefined || !URL.canParse(values.url)) {
    throw new UsageError("--url must be the address of the service, for example http://127.0.0.1:8080");
  }
  const requests = numberFlag("requests", values.requests, { least: 1, most: 1e9, whole: true });
  const seconds = numberFlag("seconds", values.seconds, { least: 0.1, most: 86_400 });
  const concurrency = numberFlag("concurrency", values.concurrency, { least: 1, most: 1024, whole: true });
  const seed = numberFlag("seed", values.seed, { least: 0, most: 0xffff_ffff, whole: true });

  const random = randomNumbers(seed);
  const file = readFileSync(values.file);
  const objects = cutIntoObjects(file, random);
  if (objects.length === 0) throw new UsageError(`${values.file} is empty`);
  const load = new Load(values.url, objects, random);

  // The process that started this one has ended, in whatever way.
  process.once("disconnect", () => process.exit());
  process.send?.({ type: "ready", objects: objects.length, bytes: file.length });
  const progress = setInterval(() => process.send?.({ type: "progress", done: load.done, requests }), 250);
  const outcome = await load.run({ requests, seconds, concurrency });
  clearInterval(progress);

  if (outcome.mismatches + outcome.failures > 0) process.exitCode = 1;
  if (process.send) await new Promise((sent) => process.send?.({ type: "outcome", outcome }, sent));
  else console.log(JSON.stringify(outcome, null, 2));
});
