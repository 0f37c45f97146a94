import { openDefaultHeap } from "./heap.js";

/**
 * The heap for those who need no heap of their own. There is one in the process: all importers in all threads share it,
 * so it cannot be closed, and a block that one worker allocated can be freed by another.
 *
 * @example
 * ```ts
 * import { heap } from "offheap";
 *
 * const block = heap.alloc(1024);
 * heap.free(block);
 * ```
 */
export const heap = openDefaultHeap();
