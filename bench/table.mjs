// @ts-check
/** Rows as text for people. */
import { reachesGoal } from "./statistics.mjs";

/** @typedef {import("./statistics.mjs").Row} Row */
/** @typedef {import("./statistics.mjs").Summary} Summary */

/**
 * One line for each row. The ratio is ours over the peer's.
 *
 * @param {readonly Row[]} rows
 * @param {{ ours: string, peer: string, goals?: boolean }} titles of the two columns that are compared
 * @returns {string}
 */
export function drawRows(rows, { ours, peer, goals = rows.some(({ goal }) => goal !== null) }) {
  const measured = rows.map((row) => [
    row.what,
    row.measure,
    `${digits(row.ours.median)} ${row.unit}`,
    `${digits(row.peer.median)} ${row.unit}`,
    digits(row.ratio.median),
    spread(row.ratio),
    ...(goals ? [goalOf(row)] : []),
  ]);
  const titles = ["", "", ours, peer, "ratio", "least to most", ...(goals ? ["goal"] : [])];
  return drawTable([titles, ...measured], 2);
}

/**
 * @param {readonly (readonly string[])[]} lines the titles first
 * @param {number} leftColumns how many columns begin at the left; all others end at the right
 * @returns {string}
 */
export function drawTable(lines, leftColumns) {
  /** @param {number} column */
  const widthOf = (column) => Math.max(...lines.map((line) => line[column]?.length ?? 0));
  const drawn = lines.map((line) =>
    line
      .map((cell, column) => (column < leftColumns ? cell.padEnd(widthOf(column)) : cell.padStart(widthOf(column))))
      .join("  ")
      .trimEnd(),
  );
  drawn.splice(1, 0, "-".repeat(Math.max(...drawn.map((line) => line.length))));
  return drawn.join("\n");
}

/** @param {Summary} ratio */
export function spread({ least, most }) {
  return `${digits(least)} to ${digits(most)}`;
}

/** @param {Row} row */
function goalOf(row) {
  if (row.goal === null) return "";
  return `${row.better === "less" ? "<=" : ">="} ${row.goal} ${reachesGoal(row) ? "reached" : "missed "}`;
}

/**
 * Three digits that matter, and no exponent.
 *
 * @param {number} number
 */
export function digits(number) {
  if (!Number.isFinite(number)) return "-";
  if (number === 0) return "0";
  const places = Math.min(Math.max(2 - Math.floor(Math.log10(Math.abs(number))), 0), number < 0.1 ? 3 : 2);
  return number.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
}
