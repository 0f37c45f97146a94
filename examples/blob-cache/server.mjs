// @ts-check
/**
 * The service as a process of its own:
 *
 *     node examples/blob-cache/server.mjs --port 8080 --limit-mib 32 --blocks offheap
 */
import { PerformanceObserver } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createBlocks } from "./blocks.mjs";
import { BlobCache } from "./cache.mjs";
import { backEndFlag, numberFlag, runAsProgram } from "./program.mjs";
import { createService } from "./service.mjs";

const MiB = 1024 * 1024;

runAsProgram(async () => {
  const { values } = parseArgs({
    options: {
      blocks: { type: "string", default: "offheap" },
      port: { type: "string", default: "0" },
      "limit-mib": { type: "string", default: "32" },
      "max-object-mib": { type: "string", default: "8" },
    },
  });
  const backEnd = backEndFlag("blocks", values.blocks);
  const port = numberFlag("port", values.port, { least: 0, most: 65_535, whole: true });
  const limit = Math.floor(numberFlag("limit-mib", values["limit-mib"], { least: 1 / 64, most: 1 << 20 }) * MiB);
  const maxObjectBytes = Math.floor(
    numberFlag("max-object-mib", values["max-object-mib"], { least: 1 / 1024, most: 1 << 20 }) * MiB,
  );

  const collector = watchCollector();
  const blocks = await createBlocks(backEnd, limit);
  const cache = new BlobCache(blocks);
  const residentAtStart = process.memoryUsage.rss();
  const server = createService({
    blocks,
    cache,
    maxObjectBytes,
    vitals: () => ({
      collector: collector(),
      resident: process.memoryUsage.rss(),
      residentAtStart,
      residentPeak: process.resourceUsage().maxRSS * 1024,
    }),
  });

  server.listen(port, "127.0.0.1", () => {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("The server listens on no port");
    const url = `http://127.0.0.1:${address.port}`;
    if (process.send) process.send({ type: "listening", url });
    else console.log(`Blob cache on ${backEnd}, ${limit} bytes, at ${url}`);
  });

  await new Promise((resolve, reject) => {
    server.once("error", reject);
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
    // The process that started this one has ended, in whatever way.
    process.once("disconnect", resolve);
  });
  cache.close();
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
  // The blocks of connections that were cut come back when the system has let go of them, a turn of the loop later.
  for (let turn = 0; turn < 100 && blocks.bytesInUse > 0; turn++) await setTimeout(10);
  const left = blocks.bytesInUse;
  blocks.close();
  if (left !== 0) throw new Error(`${left} bytes were never given back`);
});

/** Adds up the pauses of V8's garbage collector from now on. */
function watchCollector() {
  let collections = 0;
  let milliseconds = 0;
  /** @param {import("node:perf_hooks").PerformanceEntry[]} entries */
  const add = (entries) => {
    for (const entry of entries) {
      collections++;
      milliseconds += entry.duration;
    }
  };
  const observer = new PerformanceObserver((list) => add(list.getEntries()));
  observer.observe({ entryTypes: ["gc"] });
  return () => {
    add(observer.takeRecords());
    return { collections, milliseconds };
  };
}
