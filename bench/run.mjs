// `npm run bench`: the native engine against malloc, then blocks from JavaScript against what Node has to offer.
// What counts is the ratio within a round, since the machine's speed drifts; the spread is printed beside it.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Heap } from "offheap";

const { values: flags } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const ROUNDS = 9;

/** @param {readonly number[]} numbers */
function summarize(numbers) {
  const sorted = [...numbers].sort((left, right) => left - right);
  return { median: sorted[sorted.length >> 1], least: sorted[0], most: sorted[sorted.length - 1] };
}

/** Nanoseconds for one call of `pair`; finalizers run in between, at turns of the event loop. */
async function time(pair, pairs) {
  const start = process.hrtime.bigint();
  for (let index = 0; index < pairs; index += 1) pair();
  const nanoseconds = Number(process.hrtime.bigint() - start) / pairs;
  await new Promise((resolve) => setImmediate(resolve));
  return nanoseconds;
}

async function compare(name, ours, theirs, pairs) {
  const samples = { ours: [], theirs: [], ratio: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const mine = await time(ours, pairs);
    const peer = await time(theirs, pairs);
    samples.ours.push(mine);
    samples.theirs.push(peer);
    samples.ratio.push(mine / peer);
  }
  const ratio = summarize(samples.ratio);
  const row = { name, offheap: summarize(samples.ours).median, peer: summarize(samples.theirs).median, ...ratio };
  if (flags.json) {
    console.log(JSON.stringify(row));
  } else {
    const [offheap, peer] = [row.offheap, row.peer].map((nanoseconds) => nanoseconds.toFixed(0).padStart(10));
    const spread = `${ratio.least.toFixed(2)} to ${ratio.most.toFixed(2)}`;
    console.log(`${name.padEnd(52)}${offheap}${peer}${ratio.median.toFixed(2).padStart(9)}   ${spread}`);
  }
}

const engine = fileURLToPath(new URL("engine", import.meta.url));
const engineArguments = ["--no-print-directory", "-C", engine, "run", ...(flags.json ? ["ARGS=json"] : [])];
spawnSync("make", engineArguments, { stdio: ["ignore", "inherit", "inherit"] });

const heap = new Heap({ name: "bench" });
const pairOf = (size) => () => heap.free(heap.allocUnsafe(size));
const zeroedPairOf = (size) => () => heap.free(heap.alloc(size));

if (!flags.json) console.log(`\n${"ns per alloc + free".padEnd(52)}   offheap      peer    ratio   least to most`);
await compare("64 B against new ArrayBuffer", zeroedPairOf(64), () => new ArrayBuffer(64), 20_000);
await compare("64 B against Buffer.allocUnsafeSlow", pairOf(64), () => Buffer.allocUnsafeSlow(64), 20_000);
await compare("4 KiB against Buffer.allocUnsafeSlow", pairOf(4096), () => Buffer.allocUnsafeSlow(4096), 20_000);
await compare("64 KiB against Buffer.allocUnsafeSlow", pairOf(65536), () => Buffer.allocUnsafeSlow(65536), 5_000);
await compare("1 MiB against Buffer.allocUnsafeSlow", pairOf(1 << 20), () => Buffer.allocUnsafeSlow(1 << 20), 500);
await compare(
  "1 MiB, all written, against Buffer.alloc",
  () => {
    const block = heap.alloc(1 << 20);
    new Uint8Array(block).fill(1);
    heap.free(block);
  },
  () => Buffer.alloc(1 << 20).fill(1),
  200,
);
await compare(
  "growing 1 MiB to 256 MiB by doubling, against copying",
  () => {
    let block = heap.alloc(1 << 20);
    for (let size = 2 << 20; size <= 256 << 20; size *= 2) block = heap.realloc(block, size);
    heap.free(block);
  },
  () => {
    let buffer = Buffer.alloc(1 << 20);
    for (let size = 2 << 20; size <= 256 << 20; size *= 2) {
      const grown = Buffer.alloc(size);
      buffer.copy(grown);
      buffer = grown;
    }
  },
  1,
);

// The same pair with ten and with a million blocks alive.
const few = Array.from({ length: 10 }, () => heap.allocUnsafe(64));
const crowded = new Heap({ name: "crowded" });
const many = [];
for (let count = 0; count < 1_000_000; count += 1) many.push(crowded.allocUnsafe(64));
await compare(
  "64 B at 1,000,000 live against 64 B at 10 live",
  () => crowded.free(crowded.allocUnsafe(64)),
  pairOf(64),
  20_000,
);
for (const block of many) crowded.free(block);
for (const block of few) heap.free(block);
