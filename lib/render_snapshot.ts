import { checkInteger, checkOptions } from "./arguments.js";
import { invalidArgumentType } from "./errors.js";
import type { BlockSnapshot, BucketSnapshot, HeapSnapshot, RegionSnapshot, SpanSnapshot } from "./snapshot.js";

/** How to draw a snapshot. */
export interface RenderOptions {
  /** Characters in a line: 40 to 1000. Default 100. */
  readonly width?: number | undefined;
  /** Most rows in each list of spans, buckets or blocks; what is left out is counted. Default 16. */
  readonly rows?: number | undefined;
}

interface Page {
  readonly width: number;
  readonly rows: number;
}

const KIND_MARKS = { bucket: "B", dynamic: "D", huge: "H", free: "." } as const;
const METADATA_MARK = "M";
const USED_MARK = "#";
const PARTLY_USED_MARK = "+";
const FREE_MARK = ".";

const LEGEND = [
  "Legend",
  `  map of a region   ${METADATA_MARK} metadata   ${KIND_MARKS.bucket} bucket span   ${KIND_MARKS.dynamic} dynamic span   ` +
    `${KIND_MARKS.huge} huge block   ${KIND_MARKS.free} free`,
  "                    A character shows what is in use in its bytes, however little it is.",
  `  map of blocks     ${USED_MARK} used   ${PARTLY_USED_MARK} some of several used   ${FREE_MARK} free`,
];

/**
 * Draws a snapshot as text: each region as a map and a list of its spans, then buckets, then live blocks, then a
 * legend. Lines have no trailing spaces; the text ends with a line break.
 *
 * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `snapshot` is no object, or an option has the wrong type.
 * @throws {RangeError} `ERR_OUT_OF_RANGE` for a width outside 40 to 1000, or rows below 0.
 * @example
 * ```ts
 * console.log(renderSnapshot(heap.snapshot(), { width: 80 }));
 * ```
 */
export function renderSnapshot(snapshot: HeapSnapshot, options: RenderOptions = {}): string {
  if (!looksLikeSnapshot(snapshot)) {
    throw invalidArgumentType("snapshot", "what heap.snapshot() returns", snapshot);
  }
  const { width = 100, rows = 16 } = checkOptions<RenderOptions>(options);
  const page: Page = {
    width: checkInteger(width, "options.width", 40, 1000),
    rows: checkInteger(rows, "options.rows", 0, Number.MAX_SAFE_INTEGER),
  };
  const lines = [
    ...renderTitle(snapshot),
    ...snapshot.regions.flatMap((region) => ["", ...renderRegion(region, page)]),
    "",
    "Buckets",
    ...renderBucketList(snapshot.buckets, page),
    "",
    "Blocks",
    ...renderList(snapshot.blocks, page, "block", renderBlocks),
    "",
    ...LEGEND,
  ];
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}

/** Far from a check of all that is in it: what somebody is likely to pass by mistake has none of these. */
function looksLikeSnapshot(value: unknown): value is HeapSnapshot {
  if (typeof value !== "object" || value === null) return false;
  const { regions, buckets, blocks } = value as Partial<Record<keyof HeapSnapshot, unknown>>;
  return [regions, buckets, blocks].every(Array.isArray);
}

function renderTitle({ name, pageSize, regionSize, regions, blocks }: HeapSnapshot): string[] {
  const requested = sum(blocks.map((block) => block.requested));
  return [
    `Heap "${name}": ${count(regions.length, "region")}, ${count(blocks.length, "block")}, ` +
      `${formatBytes(requested)} requested`,
    `A region is ${formatBytes(regionSize)}, a page ${formatBytes(pageSize)}`,
  ];
}

function renderRegion(region: RegionSnapshot, page: Page): string[] {
  const cells = page.width - 4;
  return [
    `Region ${formatAddress(region.address)}: ${formatBytes(region.bytes)} reserved, ` +
      `${formatBytes(region.committed)} committed, ${formatBytes(region.metadataBytes)} metadata`,
    `  [${renderRegionMap(region, cells)}]`,
    `  each character is ${formatBytes(region.bytes / cells)}`,
    ...renderList(region.spans, page, "span", renderSpans),
  ];
}

/** One character for each equal part of the region: the kind that uses most of it, free only if nothing does. */
function renderRegionMap(region: RegionSnapshot, cells: number): string {
  const usage = Array.from({ length: cells }, () => new Map<string, number>());
  mark(usage, region, METADATA_MARK, 0, region.metadataBytes);
  for (const span of region.spans) {
    if (span.kind !== "free") {
      mark(usage, region, KIND_MARKS[span.kind], Number(span.address - region.address), span.bytes);
    }
  }
  return usage.map((kinds) => mostUsed(kinds)).join("");
}

function mark(usage: Map<string, number>[], region: RegionSnapshot, kind: string, start: number, bytes: number): void {
  const cellBytes = region.bytes / usage.length;
  const end = start + bytes;
  for (let index = Math.floor(start / cellBytes); index < usage.length && index * cellBytes < end; index++) {
    const share = Math.min(end, (index + 1) * cellBytes) - Math.max(start, index * cellBytes);
    const kinds = usage[index];
    kinds?.set(kind, (kinds.get(kind) ?? 0) + share);
  }
}

function mostUsed(kinds: ReadonlyMap<string, number>): string {
  let best: string = KIND_MARKS.free;
  let most = 0;
  for (const [kind, bytes] of kinds) {
    if (bytes > most) {
      best = kind;
      most = bytes;
    }
  }
  return best;
}

function renderSpans(spans: readonly SpanSnapshot[], page: Page): string[] {
  const rows = alignColumns(
    spans.map((span) => [
      `  ${formatAddress(span.address)}`,
      span.kind,
      `<${formatBytes(span.bytes)}`,
      span.kind === "free"
        ? `${formatBytes(span.committed)} committed`
        : `${span.used} of ${span.blocks} x ${formatBytes(span.blockBytes)}`,
    ]),
  );
  return rows.map((row, index) => {
    const cells = page.width - row.length - 4;
    const span = spans[index];
    if (span === undefined || span.blocks === 0 || cells < 8) return row;
    return `${row}  [${renderBlockMap(span, Math.min(cells, span.blocks))}]`;
  });
}

/** One character for each block of a span, or for each equal group of blocks when they are too many. */
function renderBlockMap(span: SpanSnapshot, cells: number): string {
  let map = "";
  for (let cell = 0; cell < cells; cell++) {
    const first = Math.floor((cell * span.blocks) / cells);
    const end = Math.floor(((cell + 1) * span.blocks) / cells);
    let used = 0;
    for (let block = first; block < end; block++) used += isUsed(span, block) ? 1 : 0;
    map += usageMark(used, end - first);
  }
  return map;
}

function isUsed(span: SpanSnapshot, block: number): boolean {
  return (((span.usedBits[block >> 3] ?? 0) >> (block & 7)) & 1) === 1;
}

function usageMark(used: number, blocks: number): string {
  if (used === 0) return FREE_MARK;
  return used === blocks ? USED_MARK : PARTLY_USED_MARK;
}

/** A heap has many size classes; those without a span are only counted. */
function renderBucketList(buckets: readonly BucketSnapshot[], page: Page): string[] {
  const inUse = buckets.filter((bucket) => bucket.spans > 0);
  const rows = renderList(inUse, page, "bucket", renderBuckets);
  const idle = buckets.length - inUse.length;
  return idle > 0 ? [...rows, `  and ${count(idle, "bucket")} without a span`] : rows;
}

function renderBuckets(buckets: readonly BucketSnapshot[]): string[] {
  return alignColumns(
    buckets.map(({ blockBytes, spans, blocks, used }) => [
      `  <${formatBytes(blockBytes)}`,
      `<${count(spans, "span")}`,
      `<${used} of ${blocks} blocks used`,
    ]),
  );
}

function renderBlocks(blocks: readonly BlockSnapshot[]): string[] {
  return alignColumns(
    blocks.map(({ address, requested, usable }) => [
      `  ${formatAddress(address)}`,
      `<${formatBytes(requested)} requested`,
      `<${formatBytes(usable)} usable`,
    ]),
  );
}

function renderList<Item>(
  items: readonly Item[],
  page: Page,
  noun: string,
  render: (items: readonly Item[], page: Page) => string[],
): string[] {
  if (items.length === 0) return ["  none"];
  const left = items.length - page.rows;
  const rows = render(items.slice(0, page.rows), page);
  return left > 0 ? [...rows, `  and ${count(left, `${page.rows > 0 ? "more " : ""}${noun}`)}`] : rows;
}

/** Pads the cells of each column to one width. A cell that starts with "<" moves to the right. */
function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const columns = rows[0]?.length ?? 0;
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => textOf(row[column]).length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const text = textOf(cell);
        const width = widths[column] ?? 0;
        return text === cell ? text.padEnd(width) : text.padStart(width);
      })
      .join("  "),
  );
}

function textOf(cell: string | undefined): string {
  return (cell ?? "").replace("<", "");
}

function formatAddress(address: bigint): string {
  return `0x${address.toString(16).padStart(12, "0")}`;
}

function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}

function count(items: number, noun: string): string {
  return `${items} ${noun}${items === 1 ? "" : "s"}`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
