// @ts-check
/**
 * Real input: one large file, cut into objects. The same file and seed give the same objects, keys and requests.
 */
import { createHash } from "node:crypto";

/**
 * @typedef {object} Version one content an object may have
 * @property {Buffer} body
 * @property {string} digest SHA-256 in hexadecimal
 */

/** @typedef {{ key: string, versions: readonly [Version, Version] }} CacheObject */

const smallest = 1024;
const largest = 8 * 1024 * 1024;

/**
 * A seeded source of numbers from 0 up to 1 (mulberry32).
 *
 * @param {number} seed
 * @returns {() => number}
 */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Cuts the file twice, at different places, from 1 KiB to 8 MiB, small ones as likely as large ones on a logarithmic
 * scale. Object i has piece i of the first cut as its first version and piece i of the second as its other one.
 *
 * @param {Buffer} file
 * @param {() => number} random
 * @returns {CacheObject[]}
 */
export function cutIntoObjects(file, random) {
  const first = cut(file, random);
  const second = cut(file, random);
  const count = Math.min(first.length, second.length);
  return Array.from({ length: count }, (_, i) => ({
    key: `piece-${String(i).padStart(4, "0")}`,
    versions: [versionOf(first[i]), versionOf(second[i])],
  }));
}

/**
 * @param {Buffer} file
 * @param {() => number} random
 * @returns {Buffer[]}
 */
function cut(file, random) {
  const pieces = [];
  for (let start = 0; start < file.length; ) {
    const bytes = Math.floor(smallest * (largest / smallest) ** random());
    pieces.push(file.subarray(start, start + bytes));
    start += bytes;
  }
  return pieces;
}

/**
 * @param {Buffer | undefined} body
 * @returns {Version}
 */
function versionOf(body) {
  if (body === undefined) throw new RangeError("There are fewer pieces than objects");
  return { body, digest: createHash("sha256").update(body).digest("hex") };
}

/**
 * A few things are asked for often and most of them seldom: the n-th of a shuffled list with weight 1 / n ** skew.
 *
 * @template T
 * @param {readonly T[]} things
 * @param {() => number} random
 * @param {number} skew
 * @returns {() => T}
 */
export function popularityOf(things, random, skew) {
  const shuffled = [...things];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [shuffled[i], shuffled[j]] = [/** @type {T} */ (shuffled[j]), /** @type {T} */ (shuffled[i])];
  }
  /** @type {number[]} */
  const upTo = [];
  let total = 0;
  for (let i = 0; i < shuffled.length; i++) {
    total += 1 / (i + 1) ** skew;
    upTo.push(total);
  }
  return () => {
    const point = random() * total;
    let low = 0;
    let high = upTo.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {number} */ (upTo[middle]) > point) high = middle;
      else low = middle + 1;
    }
    return /** @type {T} */ (shuffled[low]);
  };
}
