// @ts-check
/**
 * Where the bodies lie: two back ends with one interface and the same byte limit. The rest of the service does not
 * know which of the two it runs on.
 */

/**
 * @typedef {object} Blocks
 * @property {"offheap" | "buffers"} name
 * @property {number} limit bytes that may be in use at any moment
 * @property {number} bytesInUse
 * @property {number} blocksInUse
 * @property {(bytes: number) => Buffer} take a block of its own, not zeroed; throws when it would pass the limit
 * @property {(block: Buffer) => void} give takes the block back; nobody may use it any more
 * @property {() => void} trim what is free goes back to the kernel now, where that can be asked for
 * @property {() => string} picture the memory drawn as text
 * @property {() => Record<string, unknown>} stats
 * @property {() => void} close
 */

/** @typedef {Blocks["name"]} BackEnd */

/** @type {readonly BackEnd[]} */
export const backEnds = ["offheap", "buffers"];

/** Thrown when a block would pass the limit. */
export class BlocksFullError extends Error {
  code = "ERR_BLOCKS_FULL";
}

/**
 * @param {BackEnd} backEnd
 * @param {number} limit
 * @returns {Promise<Blocks>}
 */
export async function createBlocks(backEnd, limit) {
  switch (backEnd) {
    case "offheap":
      return createHeapBlocks(limit);
    case "buffers":
      return createBufferBlocks(limit);
    default:
      throw new TypeError(`There is no back end "${backEnd}"; choose one of ${backEnds.join(", ")}`);
  }
}

/**
 * Blocks of a heap with a limit of its own. A block that is given back can be taken again at once: no collection
 * comes between.
 *
 * @param {number} limit
 * @returns {Promise<Blocks>}
 */
async function createHeapBlocks(limit) {
  // Loaded here, so that the process that serves from plain Buffers does not carry the addon.
  const { Heap, OffheapError, renderSnapshot } = await import("offheap");
  const heap = new Heap({ name: "blob cache", limit });
  return {
    name: "offheap",
    limit,
    get bytesInUse() {
      return heap.bytesInUse;
    },
    get blocksInUse() {
      return heap.blocksInUse;
    },
    take(bytes) {
      try {
        return Buffer.from(heap.allocUnsafe(bytes));
      } catch (error) {
        if (error instanceof OffheapError && error.code === "ERR_OFFHEAP_LIMIT") {
          throw new BlocksFullError(error.message, { cause: error });
        }
        throw error;
      }
    },
    give(block) {
      heap.free(block);
    },
    trim() {
      heap.trim();
    },
    picture() {
      return renderSnapshot(heap.snapshot(), { width: 100 });
    },
    stats() {
      return { ...heap.stats() };
    },
    close() {
      heap.close();
    },
  };
}

/**
 * One Buffer for each block. The limit is counted by hand, for V8 has none; a block that is given back stays in memory
 * until V8 collects it.
 *
 * @param {number} limit
 * @returns {Promise<Blocks>}
 */
async function createBufferBlocks(limit) {
  let bytesInUse = 0;
  let blocksInUse = 0;
  return {
    name: "buffers",
    limit,
    get bytesInUse() {
      return bytesInUse;
    },
    get blocksInUse() {
      return blocksInUse;
    },
    take(bytes) {
      if (bytesInUse + bytes > limit) {
        throw new BlocksFullError(`${bytesInUse} of ${limit} bytes are in use, ${bytes} more do not fit`);
      }
      const block = Buffer.allocUnsafeSlow(bytes);
      bytesInUse += bytes;
      blocksInUse += bytes === 0 ? 0 : 1;
      return block;
    },
    give(block) {
      bytesInUse -= block.length;
      blocksInUse -= block.length === 0 ? 0 : 1;
    },
    trim() {
      // Nothing to call: V8 and malloc give memory back when they see fit.
    },
    picture() {
      return "Plain Buffers lie in memory that malloc and V8 share: there is nothing to draw.\n";
    },
    stats() {
      return { requested: bytesInUse, blocks: blocksInUse };
    },
    close() {},
  };
}
