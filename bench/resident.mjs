// @ts-check
/** Resident memory of this process. */
import { readFileSync } from "node:fs";

/** @returns {number} MiB now */
export function residentMebibytes() {
  return process.memoryUsage.rss() / 2 ** 20;
}

/**
 * The most there ever was. On Linux `maxRSS` starts with the peak of whoever started the process, so the kernel is asked
 * for that of this program alone.
 *
 * @returns {number} MiB
 */
export function peakMebibytes() {
  const kibibytes =
    process.platform === "linux"
      ? Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1])
      : process.resourceUsage().maxRSS;
  return kibibytes / 1024;
}
