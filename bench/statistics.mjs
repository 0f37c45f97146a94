// @ts-check
/** Few numbers out of many, and rows that hold ours against a peer's. */

/**
 * @typedef {object} Summary
 * @property {number} median
 * @property {number} least
 * @property {number} most
 */

/**
 * One comparison: what `--json` prints, one object on each line.
 *
 * @typedef {object} Row
 * @property {string} question which file of bench/ asked: "small", "churn", ...
 * @property {string} what the job, in words
 * @property {string} measure "time", "p99", "peak RSS", ...
 * @property {string} unit of `ours` and `peer`
 * @property {"less" | "more"} better
 * @property {string} oursIs
 * @property {string} peerIs
 * @property {number} rounds
 * @property {Summary} ours
 * @property {Summary} peer
 * @property {Summary} ratio ours over the peer's of the same round
 * @property {number | null} goal what the ratio should reach, when there is such a number
 */

/** @typedef {Omit<Row, "rounds" | "ours" | "peer" | "ratio" | "goal"> & { goal?: number | undefined }} RowHead */

/**
 * @param {readonly number[]} numbers at least one
 * @returns {Summary}
 */
export function summarize(numbers) {
  const sorted = [...numbers].sort((left, right) => left - right);
  const [least, most] = [sorted[0], sorted.at(-1)];
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (least === undefined || most === undefined || low === undefined || high === undefined) {
    throw new RangeError("There is no median of nothing");
  }
  return { median: (low + high) / 2, least, most };
}

/**
 * Holds ours against the peer's, round by round: the speed of a machine drifts, and two numbers of one round have more in
 * common than two medians.
 *
 * @param {RowHead} head
 * @param {readonly number[]} ours one number for each round
 * @param {readonly number[]} peer of the same rounds
 * @returns {Row}
 */
export function compare({ goal, ...head }, ours, peer) {
  const ratios = ours.map((number, round) => number / (peer[round] ?? Number.NaN));
  const [summaryOfOurs, summaryOfPeer] = [summarize(ours), summarize(peer)];
  const rounds = ours.length;
  return { ...head, rounds, ours: summaryOfOurs, peer: summaryOfPeer, ratio: summarize(ratios), goal: goal ?? null };
}

/** @param {Row} row */
export function reachesGoal({ goal, better, ratio }) {
  return goal === null || (better === "less" ? ratio.median <= goal : ratio.median >= goal);
}

/**
 * Counts of durations, in buckets 3 % wide. Holds as much for ten operations as for ten million, so that it does not
 * show in the memory it is used beside.
 */
export class Latencies {
  /** 32 buckets for each power of two. */
  #counts = new Uint32Array(32 * 32);
  #total = 0;

  /** @param {number} nanoseconds up to 4 seconds; more counts as 4 seconds */
  record(nanoseconds) {
    const whole = Math.min(Math.max(nanoseconds, 32), 0xffff_ffff) >>> 0;
    const exponent = 31 - Math.clz32(whole);
    const index = (exponent << 5) | ((whole >>> (exponent - 5)) & 31);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#total += 1;
  }

  /**
   * @param {number} share from 0 to 1
   * @returns {number} nanoseconds
   */
  percentile(share) {
    let left = this.#total * share;
    const index = this.#counts.findIndex((count) => {
      left -= count;
      return left <= 0;
    });
    const exponent = index >> 5;
    return 2 ** exponent * (1 + (index & 31) / 32);
  }
}
