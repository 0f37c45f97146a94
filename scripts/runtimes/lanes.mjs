// @ts-check
/** Does several things at once, and waits for all. */
import { availableParallelism } from "node:os";

/** Each job keeps about one core busy, and needs some hundred MiB. */
const MOST_AT_ONCE = 4;

/**
 * @template Result
 * @param {readonly (() => Promise<Result>)[]} jobs
 * @param {number} [most] How many run at once.
 * @returns {Promise<Result[]>} In the order of the jobs.
 */
export async function inLanes(jobs, most = Math.min(MOST_AT_ONCE, availableParallelism())) {
  const waiting = [...jobs.entries()];
  /** @type {Result[]} */
  const results = [];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, job] = next;
      try {
        results[index] = await job();
      } catch (error) {
        // Those that have begun go on to their end; what they work on may be removed after.
        waiting.length = 0;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: most }, work));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return results;
}
