// @ts-check
/** The table at the end of a run, and the verdict. */

/**
 * @typedef {object} Stats what GET /stats answers
 * @property {number} limit
 * @property {number} bytesInUse
 * @property {number} blocksInUse
 * @property {number} resident
 * @property {number} residentAtStart
 * @property {number} residentPeak
 * @property {{ collections: number, milliseconds: number }} collector
 * @property {{ hits: number, bytesStored: number, evictions: number, peakBytesInUse: number }} cache
 */

/**
 * @typedef {object} Run
 * @property {import("./blocks.mjs").BackEnd} backEnd
 * @property {import("./load.mjs").Outcome} outcome
 * @property {Stats} loaded when the client had finished
 * @property {Stats} emptied after everything was deleted
 * @property {string} picture
 * @property {number | null} exitCode of the server
 */

/** @type {Record<import("./blocks.mjs").BackEnd, string>} */
const titles = { offheap: "offheap", buffers: "plain Buffers" };

/** @param {import("./blocks.mjs").BackEnd} backEnd */
export function titleOf(backEnd) {
  return titles[backEnd];
}

/**
 * Each row: its name, its number in a run, and how many digits stand behind the point.
 *
 * @type {readonly (readonly [string, (run: Run) => number, number])[]}
 */
const rows = [
  ["requests per second", ({ outcome }) => outcome.requests / outcome.seconds, 0],
  ["GET p50, ms", ({ outcome }) => outcome.milliseconds.get.p50, 1],
  ["GET p99, ms", ({ outcome }) => outcome.milliseconds.get.p99, 1],
  ["PUT p50, ms", ({ outcome }) => outcome.milliseconds.put.p50, 1],
  ["PUT p99, ms", ({ outcome }) => outcome.milliseconds.put.p99, 1],
  ["server: peak resident memory, MiB", ({ loaded }) => mebibytes(loaded.residentPeak), 0],
  [
    "server: of that, beyond the idle server, MiB",
    ({ loaded }) => mebibytes(loaded.residentPeak - loaded.residentAtStart),
    0,
  ],
  ["server: resident memory once emptied, MiB", ({ emptied }) => mebibytes(emptied.resident), 0],
  ["server: time in garbage collection, ms", ({ loaded }) => loaded.collector.milliseconds, 0],
  ["server: garbage collections", ({ loaded }) => loaded.collector.collections, 0],
  ["requests", ({ outcome }) => outcome.requests, 0],
  ["hits", ({ outcome }) => outcome.hits, 0],
  ["misses", ({ outcome }) => outcome.misses, 0],
  ["bodies stored", ({ outcome }) => outcome.stores, 0],
  ["MiB stored", ({ outcome }) => mebibytes(outcome.bytesStored), 0],
  ["MiB fetched and hashed", ({ outcome }) => mebibytes(outcome.bytesFetched), 0],
  ["evictions", ({ loaded }) => loaded.cache.evictions, 0],
  ["peak of bytes in use, MiB", ({ loaded }) => mebibytes(loaded.cache.peakBytesInUse), 1],
  ["hash mismatches", ({ outcome }) => outcome.mismatches, 0],
  ["failed requests", ({ outcome }) => outcome.failures, 0],
  ["bytes in use at the end", ({ emptied }) => emptied.bytesInUse, 0],
];

/**
 * @param {readonly Run[]} runs
 * @returns {string}
 */
export function table(runs) {
  const compared = runs.length === 2;
  const lines = [["", ...runs.map((run) => titleOf(run.backEnd)), ...(compared ? ["ratio"] : [])]];
  for (const [name, numberOf, digits] of rows) {
    const numbers = runs.map(numberOf);
    const [one, other] = numbers;
    const ratio = compared && one && other ? [(one / other).toFixed(2)] : compared ? [""] : [];
    lines.push([name, ...numbers.map((number) => grouped(number, digits)), ...ratio]);
  }
  /** @param {number} column */
  const widthOf = (column) => Math.max(...lines.map((line) => line[column]?.length ?? 0));
  const drawn = lines.map((line) => {
    const cells = line.map((cell, i) => (i === 0 ? cell.padEnd(widthOf(i)) : cell.padStart(widthOf(i) + 3)));
    return cells.join("").trimEnd();
  });
  drawn.splice(1, 0, "-".repeat(Math.max(...drawn.map((line) => line.length))));
  return drawn.join("\n");
}

/**
 * @param {readonly Run[]} runs
 * @returns {{ lines: string[], good: boolean }}
 */
export function judge(runs) {
  const lines = [];
  let good = true;
  for (const { backEnd, outcome, loaded, emptied, exitCode } of runs) {
    /** @type {[boolean, string, string][]} */
    const claims = [
      [outcome.mismatches === 0, "every body came back bit for bit", `${outcome.mismatches} bodies came back wrong`],
      [outcome.failures === 0, "every request was answered", `${outcome.failures} requests failed`],
      [outcome.hits > 0, "bodies were fetched", "not one body was fetched"],
      [
        outcome.hits === loaded.cache.hits && outcome.bytesStored === loaded.cache.bytesStored,
        "client and server counted the same",
        "client and server counted differently",
      ],
      [loaded.cache.evictions > 0, "bodies were evicted", "nothing was ever evicted"],
      [
        loaded.cache.peakBytesInUse <= loaded.limit,
        "the limit held",
        `${loaded.cache.peakBytesInUse} bytes were in use under a limit of ${loaded.limit}`,
      ],
      [
        emptied.bytesInUse === 0 && emptied.blocksInUse === 0,
        "not one byte was lost",
        `${emptied.bytesInUse} bytes in ${emptied.blocksInUse} blocks were lost`,
      ],
      [exitCode === 0, "the server ended well", `the server ended with code ${exitCode}`],
    ];
    const broken = claims.filter(([holds]) => !holds);
    if (broken.length > 0) good = false;
    const words = broken.length > 0 ? broken.map((claim) => claim[2]) : claims.map((claim) => claim[1]);
    lines.push(`${broken.length > 0 ? "FAILED" : "ok"}  ${titleOf(backEnd)}: ${words.join(", ")}`);
    if (outcome.outOfTime) lines.push(`    ${titleOf(backEnd)}: the clock ended the run before all requests were sent`);
  }
  return { lines, good };
}

/** @param {number} bytes */
function mebibytes(bytes) {
  return bytes / 2 ** 20;
}

/**
 * @param {number} number
 * @param {number} digits
 */
function grouped(number, digits) {
  return number.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
