// @ts-check
/** Who competes: how each takes memory, how all its bytes are reached, and how it is given back. */

/** @typedef {"v8" | "napi"} Buffers a variant of the addon */

/**
 * @typedef {object} Contender
 * @property {(size: number) => ArrayBufferLike | Uint8Array} take
 * @property {(size: number) => Uint8Array} takeBytes the same, with a view of all its bytes
 * @property {(block: any) => void} give what the garbage collector finds by itself only needs to be forgotten
 */

/** @typedef {"alloc" | "allocUnsafe"} OffheapName */
/** @typedef {"new ArrayBuffer" | "Buffer.alloc" | "Buffer.allocUnsafe" | "Buffer.allocUnsafeSlow"} PeerName */
/** @typedef {OffheapName | PeerName} ContenderName */

/** @type {Readonly<Record<ContenderName, (buffers?: Buffers) => Promise<Contender>>>} */
const contenders = {
  alloc: async (buffers) => {
    const { heap } = await loadOffheap(buffers);
    return {
      take: (size) => heap.alloc(size),
      takeBytes: (size) => new Uint8Array(heap.alloc(size)),
      give: (block) => heap.free(block),
    };
  },
  allocUnsafe: async (buffers) => {
    const { heap } = await loadOffheap(buffers);
    return {
      take: (size) => heap.allocUnsafe(size),
      takeBytes: (size) => new Uint8Array(heap.allocUnsafe(size)),
      give: (block) => heap.free(block),
    };
  },
  "new ArrayBuffer": async () => ({
    take: (size) => new ArrayBuffer(size),
    takeBytes: (size) => new Uint8Array(new ArrayBuffer(size)),
    give: () => {},
  }),
  "Buffer.alloc": async () => collected((size) => Buffer.alloc(size)),
  "Buffer.allocUnsafe": async () => collected((size) => Buffer.allocUnsafe(size)),
  "Buffer.allocUnsafeSlow": async () => collected((size) => Buffer.allocUnsafeSlow(size)),
};

/**
 * @param {ContenderName} name
 * @param {Buffers} [buffers] the variant of the addon that this process was told to load
 * @returns {Promise<Contender>}
 */
export async function enter(name, buffers) {
  return contenders[name](buffers);
}

/**
 * Only those who compete with offheap load it: a peer's process does not carry the addon.
 *
 * @param {Buffers | undefined} buffers
 */
export async function loadOffheap(buffers) {
  const offheap = await import("offheap");
  if (buffers === undefined || offheap.runtime.buffers === buffers) return offheap;
  throw new Error(`This process was to load the "${buffers}" variant, and has loaded "${offheap.runtime.buffers}"`);
}

/**
 * @param {(size: number) => Buffer} take
 * @returns {Contender}
 */
function collected(take) {
  return { take, takeBytes: take, give: () => {} };
}
