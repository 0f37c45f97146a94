import { Heap, makePermanent } from "./heap.js";

/**
 * The heap for those who need no heap of their own. All importers in a thread share it, so it cannot be closed; each
 * worker thread has its own.
 *
 * @example
 * ```ts
 * import { heap } from "offheap";
 *
 * const block = heap.alloc(1024);
 * heap.free(block);
 * ```
 */
export const heap: Heap = new Heap({ name: "default" });

makePermanent(heap);
