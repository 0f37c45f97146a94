/**
 * Collects garbage, turn by turn, until `done`. Collection and what follows from it may take several turns of the event
 * loop; a test that waits for something that never comes ends with the error thrown here.
 */
export async function collectUntil(done: () => boolean): Promise<void> {
  const collect = globalThis.gc;
  if (collect === undefined) throw new Error("run with --expose-gc");
  for (let turn = 0; turn < 200; turn++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 0));
    await new Promise((resolve) => setImmediate(resolve));
    if (done()) return;
  }
  throw new Error("what was to be collected is still there after 200 collections");
}

const held: unknown[] = [];

/** Keeps a block alive for good, where a test allocates only to have something in use. Returns it. */
export function hold<Block>(block: Block): Block {
  held.push(block);
  return block;
}
