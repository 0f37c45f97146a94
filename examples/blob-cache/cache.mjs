// @ts-check
/**
 * A cache of bodies under a hard byte limit.
 *
 * The limit counts every block that exists: the bodies that are stored, the ones still being uploaded, and the ones
 * that were evicted while somebody was being served from them. What was used least recently goes first, and its block
 * is free in that moment. A block that is being served is never freed under its reader: it goes with the last one.
 *
 *     upload ──commit──> entry ──evict, replace, delete──> pinned? ──no───────────────> free
 *        └───abort──> free                                    └─yes──> retired ──last──> free
 */

/** @typedef {import("./blocks.mjs").Blocks} Blocks */

/**
 * @typedef {object} Entry
 * @property {string} key
 * @property {Buffer} block
 * @property {string} digest SHA-256 of the body, in hexadecimal
 * @property {number} bytes
 * @property {number} pins readers that are being served from the block
 * @property {boolean} retired no longer to be found; freed with the last pin
 */

/**
 * @typedef {object} Upload space for one body; exactly one of commit and abort takes effect, the first
 * @property {Buffer} block
 * @property {(key: string, digest: string) => void} commit
 * @property {() => void} abort
 */

/**
 * @typedef {object} Pin
 * @property {Buffer} block
 * @property {string} digest
 * @property {() => void} release may be called more than once
 */

/**
 * @typedef {object} Waiter
 * @property {number} bytes
 * @property {(block: Buffer) => void} resolve
 * @property {(error: unknown) => void} reject
 */

/** Thrown when readers and uploads held the memory for longer than an upload may wait. */
export class CacheBusyError extends Error {
  code = "ERR_CACHE_BUSY";
}

/** Thrown when a body is larger than the whole cache. */
export class BodyTooLargeError extends RangeError {
  code = "ERR_BODY_TOO_LARGE";
}

export class BlobCache {
  #blocks;
  #waitMilliseconds;
  /** Least recently used first: a Map keeps the order of insertion. @type {Map<string, Entry>} */
  #entries = new Map();
  /** First come, first served. @type {Waiter[]} */
  #waiters = [];
  /** Bytes of the entries nobody is being served from. */
  #idleBytes = 0;
  /** Bytes of the retired entries, which come back as soon as their readers are done. */
  #retiredBytes = 0;
  #closed = false;
  #counts = {
    hits: 0,
    misses: 0,
    stored: 0,
    bytesStored: 0,
    replaced: 0,
    deleted: 0,
    evictions: 0,
    bytesEvicted: 0,
    evictedWhileServed: 0,
    aborted: 0,
    waited: 0,
    gaveUp: 0,
    peakBytesInUse: 0,
  };

  /**
   * @param {Blocks} blocks
   * @param {{ waitMilliseconds?: number }} [options] how long an upload may wait for memory that others hold
   */
  constructor(blocks, { waitMilliseconds = 5000 } = {}) {
    this.#blocks = blocks;
    this.#waitMilliseconds = waitMilliseconds;
  }

  /** Bodies that can be found. */
  get size() {
    return this.#entries.size;
  }

  /** Keys, least recently used first. */
  keys() {
    return [...this.#entries.keys()];
  }

  stats() {
    return {
      ...this.#counts,
      entries: this.#entries.size,
      idleBytes: this.#idleBytes,
      retiredBytes: this.#retiredBytes,
      waiting: this.#waiters.length,
    };
  }

  /**
   * Makes room for a body, evicting what was used least recently. Waits when what stands in the way is being served or
   * uploaded.
   *
   * @param {number} bytes
   * @param {AbortSignal} [signal] ends the wait
   * @returns {Promise<Upload>}
   * @throws {BodyTooLargeError} when it can never fit
   * @throws {CacheBusyError} when no room was found in time
   */
  async upload(bytes, signal) {
    if (this.#closed) throw new CacheBusyError("The cache is closed");
    if (bytes > this.#blocks.limit) {
      throw new BodyTooLargeError(`A body of ${bytes} bytes is larger than the cache of ${this.#blocks.limit} bytes`);
    }
    // Nobody overtakes an upload that waits, or small bodies would keep a large one out for ever.
    const block =
      this.#waiters.length === 0 && this.#makeRoom(bytes) ? this.#take(bytes) : await this.#wait(bytes, signal);
    let open = true;
    return {
      block,
      commit: (key, digest) => {
        if (!open) return;
        open = false;
        this.#store({ key, block, digest, bytes, pins: 0, retired: false });
        this.#serveWaiters();
      },
      abort: () => {
        if (!open) return;
        open = false;
        this.#counts.aborted++;
        this.#blocks.give(block);
        this.#serveWaiters();
      },
    };
  }

  /**
   * Finds a body and holds its block until `release`.
   *
   * @param {string} key
   * @returns {Pin | undefined}
   */
  pin(key) {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#counts.misses++;
      return undefined;
    }
    this.#counts.hits++;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (entry.pins++ === 0) this.#idleBytes -= entry.bytes;
    let held = true;
    return {
      block: entry.block,
      digest: entry.digest,
      release: () => {
        if (!held) return;
        held = false;
        this.#unpin(entry);
      },
    };
  }

  /**
   * @param {string} key
   * @returns {boolean} whether there was such a body
   */
  delete(key) {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#counts.deleted++;
    this.#retire(entry);
    this.#serveWaiters();
    return true;
  }

  /** Forgets every body. */
  clear() {
    for (const entry of this.#entries.values()) {
      this.#counts.deleted++;
      this.#retire(entry);
    }
    this.#serveWaiters();
  }

  /** Forgets every body and takes no more. What is being served or uploaded is freed when that ends. */
  close() {
    this.#closed = true;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new CacheBusyError("The cache is closed"));
    this.clear();
  }

  /** @param {Entry} entry */
  #store(entry) {
    const old = this.#entries.get(entry.key);
    if (old !== undefined) {
      this.#counts.replaced++;
      this.#retire(old);
    }
    this.#counts.stored++;
    this.#counts.bytesStored += entry.bytes;
    this.#idleBytes += entry.bytes;
    this.#entries.set(entry.key, entry);
    // A cache that was closed during the upload keeps nothing.
    if (this.#closed) this.#retire(entry);
  }

  /**
   * Takes the entry out of the cache, and frees its block unless somebody is being served from it.
   *
   * @param {Entry} entry
   */
  #retire(entry) {
    this.#entries.delete(entry.key);
    entry.retired = true;
    if (entry.pins === 0) {
      this.#idleBytes -= entry.bytes;
      this.#blocks.give(entry.block);
    } else {
      this.#retiredBytes += entry.bytes;
    }
  }

  /** @param {Entry} entry */
  #unpin(entry) {
    if (--entry.pins > 0) return;
    if (entry.retired) {
      this.#retiredBytes -= entry.bytes;
      this.#blocks.give(entry.block);
    } else {
      this.#idleBytes += entry.bytes;
    }
    this.#serveWaiters();
  }

  /** @param {Entry} entry */
  #evict(entry) {
    this.#counts.evictions++;
    this.#counts.bytesEvicted += entry.bytes;
    if (entry.pins > 0) this.#counts.evictedWhileServed++;
    this.#retire(entry);
  }

  /**
   * True when the bytes fit now. When they would not fit even after all idle entries were evicted, none of those is
   * evicted in vain: of the ones being served the least recently used are retired, as many as it takes, so that no new
   * reader can join them and the memory is sure to come back.
   *
   * @param {number} bytes
   * @returns {boolean}
   */
  #makeRoom(bytes) {
    const blocks = this.#blocks;
    if (blocks.bytesInUse - this.#idleBytes + bytes <= blocks.limit) {
      for (const entry of this.#entries.values()) {
        if (blocks.bytesInUse + bytes <= blocks.limit) break;
        if (entry.pins === 0) this.#evict(entry);
      }
      return true;
    }
    for (const entry of this.#entries.values()) {
      if (blocks.bytesInUse - this.#idleBytes - this.#retiredBytes + bytes <= blocks.limit) break;
      if (entry.pins > 0) this.#evict(entry);
    }
    return false;
  }

  /** @param {number} bytes */
  #take(bytes) {
    const block = this.#blocks.take(bytes);
    this.#counts.peakBytesInUse = Math.max(this.#counts.peakBytesInUse, this.#blocks.bytesInUse);
    return block;
  }

  /**
   * @param {number} bytes
   * @param {AbortSignal} [signal]
   * @returns {Promise<Buffer>}
   */
  #wait(bytes, signal) {
    this.#counts.waited++;
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      /** @type {Waiter} */
      const waiter = {
        bytes,
        resolve: (block) => {
          leave();
          resolve(block);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      /** @param {unknown} error */
      const giveUp = (error) => {
        const place = this.#waiters.indexOf(waiter);
        if (place !== -1) this.#waiters.splice(place, 1);
        this.#counts.gaveUp++;
        waiter.reject(error);
        this.#serveWaiters();
      };
      const abort = () => giveUp(signal?.reason);
      const timer = setTimeout(
        () => giveUp(new CacheBusyError(`No room for ${bytes} bytes within ${this.#waitMilliseconds} ms`)),
        this.#waitMilliseconds,
      );
      this.#waiters.push(waiter);
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  #serveWaiters() {
    for (;;) {
      const waiter = this.#waiters[0];
      if (waiter === undefined || !this.#makeRoom(waiter.bytes)) return;
      this.#waiters.shift();
      try {
        waiter.resolve(this.#take(waiter.bytes));
      } catch (error) {
        waiter.reject(error);
      }
    }
  }
}
