// @ts-check
/** What the client does, and how it knows that each answer is right. */
import { createHash } from "node:crypto";
import { Agent, request as httpRequest } from "node:http";
import { setTimeout } from "node:timers/promises";
import { popularityOf } from "./objects.mjs";

/** @typedef {import("./objects.mjs").CacheObject} CacheObject */
/** @typedef {import("./objects.mjs").Version} Version */

/**
 * @typedef {object} Reply
 * @property {number} status
 * @property {string | undefined} announced the digest in the X-SHA-256 header
 * @property {string} digest SHA-256 of the body that came
 * @property {number} bytes of the body that came
 */

/**
 * @typedef {object} Outcome
 * @property {number} requests requests that got their answer, those that were sent again included
 * @property {number} hits
 * @property {number} misses
 * @property {number} stores
 * @property {number} removals
 * @property {number} bytesStored
 * @property {number} bytesFetched
 * @property {number} again requests that the service asked to send again (503)
 * @property {number} mismatches bodies that were not what had been stored
 * @property {number} failures requests that got no answer, or one that makes no sense
 * @property {string[]} complaints the first few mismatches and failures, in words
 * @property {number} seconds
 * @property {boolean} outOfTime ended by the clock and not by the number of requests
 * @property {{ get: Latency, put: Latency }} milliseconds
 */

/** @typedef {{ count: number, p50: number, p99: number }} Latency */

const fetchShare = 0.85;
const storeShare = 0.14; // What is left are removals.
const skew = 0.7;
const mostAttempts = 20;
const requestMilliseconds = 30_000;
const mostComplaints = 10;

export class Load {
  /** Operations begun so far. */
  done = 0;
  #url;
  #random;
  #next;
  #agent = new Agent({ keepAlive: true });
  /** @type {Map<CacheObject, KeyHistory>} */
  #histories = new Map();
  /** @type {number[]} */
  #getMilliseconds = [];
  /** @type {number[]} */
  #putMilliseconds = [];
  #counts = {
    requests: 0,
    hits: 0,
    misses: 0,
    stores: 0,
    removals: 0,
    bytesStored: 0,
    bytesFetched: 0,
    again: 0,
    mismatches: 0,
    failures: 0,
    complaints: /** @type {string[]} */ ([]),
  };

  /**
   * @param {string} url
   * @param {CacheObject[]} objects
   * @param {() => number} random
   */
  constructor(url, objects, random) {
    this.#url = url;
    this.#random = random;
    this.#next = popularityOf(objects, random, skew);
    for (const object of objects) this.#histories.set(object, new KeyHistory());
  }

  /**
   * @param {{ requests: number, seconds: number, concurrency: number }} bounds
   * @returns {Promise<Outcome>}
   */
  async run({ requests, seconds, concurrency }) {
    const start = performance.now();
    const end = start + seconds * 1000;
    const lane = async () => {
      while (this.done < requests && performance.now() < end) {
        this.done++;
        try {
          await this.#operate();
        } catch (error) {
          this.#counts.failures++;
          this.#complain(error instanceof Error ? error.message : String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
    this.#agent.destroy();
    return {
      ...this.#counts,
      seconds: (performance.now() - start) / 1000,
      outOfTime: this.done < requests,
      milliseconds: { get: latencyOf(this.#getMilliseconds), put: latencyOf(this.#putMilliseconds) },
    };
  }

  async #operate() {
    // All that is random is drawn here, so that operation n is the same in every run, whatever the answers are.
    const kind = this.#random();
    const object = this.#next();
    const version = object.versions[this.#random() < 0.5 ? 0 : 1];
    if (kind < fetchShare) await this.#fetch(object, version);
    else if (kind < fetchShare + storeShare) await this.#store(object, version);
    else await this.#remove(object);
  }

  /**
   * @param {CacheObject} object
   * @param {Version} missing what to store when the service does not have the object
   */
  async #fetch(object, missing) {
    const history = this.#historyOf(object);
    const known = history.certain();
    const start = performance.now();
    const reply = await this.#send("GET", object.key);
    this.#getMilliseconds.push(performance.now() - start);
    if (reply.status === 404) {
      this.#counts.misses++;
      await this.#store(object, missing);
      return;
    }
    if (reply.status !== 200) throw new Error(`GET ${object.key} was answered with ${reply.status}`);
    this.#counts.hits++;
    this.#counts.bytesFetched += reply.bytes;
    const came = object.versions.find((version) => version.digest === reply.digest);
    if (came === undefined || came.body.length !== reply.bytes || reply.announced !== reply.digest) {
      this.#counts.mismatches++;
      this.#complain(`${object.key}: ${reply.bytes} bytes came with hash ${reply.digest}, which was never stored`);
      return;
    }
    // When no store overlapped the fetch, nothing older may come back.
    const { version, changes } = known;
    if (version !== undefined && version !== came && changes === history.certain().changes) {
      this.#counts.mismatches++;
      this.#complain(`${object.key}: a version came back that had been replaced before it was asked for`);
    }
  }

  /**
   * @param {CacheObject} object
   * @param {Version} version
   */
  async #store(object, version) {
    const history = this.#historyOf(object);
    history.begin();
    try {
      const start = performance.now();
      const reply = await this.#send("PUT", object.key, version);
      this.#putMilliseconds.push(performance.now() - start);
      if (reply.status !== 201) throw new Error(`PUT ${object.key} was answered with ${reply.status}`);
      this.#counts.stores++;
      this.#counts.bytesStored += version.body.length;
      if (reply.announced !== version.digest) {
        this.#counts.mismatches++;
        this.#complain(`${object.key}: the service computed another hash for what was stored`);
      }
    } finally {
      history.end(version);
    }
  }

  /** @param {CacheObject} object */
  async #remove(object) {
    const { status } = await this.#send("DELETE", object.key);
    if (status !== 204 && status !== 404) throw new Error(`DELETE ${object.key} was answered with ${status}`);
    this.#counts.removals++;
  }

  /**
   * Sends one request, and sends it again while the service says that it is busy.
   *
   * @param {"GET" | "PUT" | "DELETE"} method
   * @param {string} key
   * @param {Version} [version]
   * @returns {Promise<Reply>}
   */
  async #send(method, key, version) {
    for (let attempt = 1; ; attempt++) {
      const reply = await this.#exchange(method, key, version);
      this.#counts.requests++;
      if (reply.status !== 503 || attempt === mostAttempts) return reply;
      this.#counts.again++;
      await setTimeout(50 * attempt);
    }
  }

  /**
   * @param {string} method
   * @param {string} key
   * @param {Version} [version]
   * @returns {Promise<Reply>}
   */
  #exchange(method, key, version) {
    return new Promise((resolve, reject) => {
      const request = httpRequest(`${this.#url}/objects/${key}`, {
        agent: this.#agent,
        method,
        timeout: requestMilliseconds,
        headers: version ? { "Content-Length": version.body.length, "X-SHA-256": version.digest } : {},
      });
      request.once("error", reject);
      request.once("timeout", () => request.destroy(new Error(`${method} ${key} got no answer in time`)));
      request.once("response", (response) => {
        const hash = createHash("sha256");
        let bytes = 0;
        response.on("data", (chunk) => {
          hash.update(chunk);
          bytes += chunk.length;
        });
        response.once("error", reject);
        response.once("end", () => {
          const announced = response.headers["x-sha-256"];
          resolve({
            status: response.statusCode ?? 0,
            announced: typeof announced === "string" ? announced : undefined,
            digest: hash.digest("hex"),
            bytes,
          });
        });
      });
      request.end(version?.body);
    });
  }

  /** @param {CacheObject} object */
  #historyOf(object) {
    return /** @type {KeyHistory} */ (this.#histories.get(object));
  }

  /** @param {string} complaint */
  #complain(complaint) {
    if (this.#counts.complaints.length < mostComplaints) this.#counts.complaints.push(complaint);
  }
}

/** Which version of an object the service must have, as far as one who sends many requests at once can know. */
class KeyHistory {
  #running = 0;
  #overlapped = false;
  #changes = 0;
  /** @type {Version | undefined} */
  #latest;

  begin() {
    this.#changes++;
    if (this.#running++ > 0) this.#overlapped = true;
  }

  /** @param {Version} version */
  end(version) {
    this.#changes++;
    if (--this.#running > 0) return;
    // Two stores that overlapped may have been carried out in either order.
    this.#latest = this.#overlapped ? undefined : version;
    this.#overlapped = false;
  }

  /** The one version that may come back, if there is only one, and a number that tells whether that changed since. */
  certain() {
    return { version: this.#running === 0 ? this.#latest : undefined, changes: this.#changes };
  }
}

/**
 * @param {number[]} samples
 * @returns {Latency}
 */
function latencyOf(samples) {
  const sorted = Float64Array.from(samples).sort();
  /** @param {number} share */
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99) };
}
