// @ts-check
/**
 * The HTTP face of the cache.
 *
 *     PUT    /objects/<key>   stores the body; Content-Length is required, X-SHA-256 is checked when it is sent
 *     GET    /objects/<key>   serves it straight from its block, with ETag and X-SHA-256
 *     HEAD   /objects/<key>   the same without the body
 *     DELETE /objects/<key>   forgets it
 *     DELETE /objects         forgets everything
 *     GET    /stats           numbers as JSON
 *     GET    /picture         the memory drawn as text
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { throwAway } from "./bin.mjs";
import { BodyTooLargeError, CacheBusyError } from "./cache.mjs";

/** @typedef {import("node:http").IncomingMessage} IncomingMessage */
/** @typedef {import("node:http").ServerResponse} ServerResponse */
/** @typedef {import("node:net").Socket} Socket */

const objectPath = /^\/objects\/([^/]*)$/;
const goodKey = /^[A-Za-z0-9._~-]{1,128}$/;
const goodDigest = /^[0-9a-f]{64}$/;
const goodLength = /^\d{1,15}$/;

/** A refusal with its HTTP status. */
class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {Record<string, string>} [headers]
   */
  constructor(status, message, headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/**
 * @typedef {object} ServiceOptions
 * @property {import("./blocks.mjs").Blocks} blocks
 * @property {import("./cache.mjs").BlobCache} cache
 * @property {number} [maxObjectBytes] a larger body is refused with 413
 * @property {number} [idleMilliseconds] a connection on which nothing moves for so long is closed
 * @property {number} [downloadMilliseconds] a download that takes longer is cut, so that nobody holds a block for ever
 * @property {() => object} [vitals] more numbers for /stats
 */

/**
 * @param {ServiceOptions} options
 * @returns {import("node:http").Server}
 */
export function createService({
  blocks,
  cache,
  maxObjectBytes = blocks.limit,
  idleMilliseconds = 30_000,
  downloadMilliseconds = 120_000,
  vitals = () => ({}),
}) {
  /**
   * What must not be freed while the operating system may still read it, by connection.
   *
   * @type {WeakMap<Socket, Set<() => void>>}
   */
  const held = new WeakMap();

  const server = createServer((request, response) => answer(request, response, false));
  server.on("checkContinue", (request, response) => answer(request, response, true));
  server.on("connection", (socket) => {
    const releases = new Set();
    held.set(socket, releases);
    socket.once("close", () => {
      for (const release of releases) release();
    });
  });
  server.timeout = idleMilliseconds;
  server.keepAliveTimeout = idleMilliseconds;
  return server;

  /**
   * Runs `release` when the response has been handed to the operating system to the last byte. A connection that is
   * torn down may have a write in flight until it has closed: then its close is the moment, and it is also the only
   * one for an answer that stood in line behind another.
   *
   * @param {Socket} socket
   * @param {ServerResponse} response
   * @param {() => void} release
   */
  function whenFlushed(socket, response, release) {
    const releases = /** @type {Set<() => void>} */ (held.get(socket));
    const timer = setTimeout(() => socket.destroy(), downloadMilliseconds);
    const done = () => {
      clearTimeout(timer);
      releases.delete(done);
      release();
    };
    releases.add(done);
    response.once("close", () => {
      if (!socket.destroyed) done();
    });
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   * @param {boolean} expectsContinue the client sends its body only when it is told to
   */
  async function answer(request, response, expectsContinue) {
    try {
      await route(request, response, expectsContinue);
    } catch (error) {
      refuse(request, response, expectsContinue, error);
    }
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   * @param {boolean} expectsContinue
   */
  async function route(request, response, expectsContinue) {
    const { method } = request;
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    const [, key] = objectPath.exec(path) ?? [];
    if (key !== undefined) {
      if (!goodKey.test(key)) {
        throw new Refusal(400, "A key is 1 to 128 letters, digits, dots, dashes, underscores or tildes");
      }
      if (method === "GET" || method === "HEAD") return get(request, response, key);
      if (method === "PUT") return put(request, response, expectsContinue, key);
      if (method === "DELETE") return send(response, cache.delete(key) ? 204 : 404);
      throw new Refusal(405, `${method} means nothing here`, { Allow: "GET, HEAD, PUT, DELETE" });
    }
    if (path === "/objects" && method === "DELETE") {
      cache.clear();
      blocks.trim();
      return send(response, 204);
    }
    if (path === "/stats" && method === "GET") return sendText(response, 200, "application/json", statistics());
    if (path === "/picture" && method === "GET") return sendText(response, 200, "text/plain", blocks.picture());
    throw new Refusal(404, `There is nothing at ${method} ${path}`);
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   * @param {string} key
   */
  function get(request, response, key) {
    const pin = cache.pin(key);
    if (pin === undefined) throw new Refusal(404, `There is no object "${key}"`);
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Length": pin.block.length,
      ...digestHeaders(pin.digest),
    };
    if (request.headers["if-none-match"] === headers.ETag) {
      pin.release();
      return send(response, 304, digestHeaders(pin.digest));
    }
    if (request.method === "HEAD") {
      pin.release();
      return send(response, 200, headers);
    }
    whenFlushed(request.socket, response, pin.release);
    response.writeHead(200, headers).end(pin.block);
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   * @param {boolean} expectsContinue
   * @param {string} key
   */
  async function put(request, response, expectsContinue, key) {
    const bytes = bodyLength(request);
    const announced = request.headers["x-sha-256"];
    if (announced !== undefined && !goodDigest.test(String(announced))) {
      throw new Refusal(400, "X-SHA-256 is 64 hexadecimal digits in lower case");
    }
    const gone = new AbortController();
    const leave = () => gone.abort(new Error("The client left"));
    response.once("close", leave);
    const upload = await cache.upload(bytes, gone.signal);
    try {
      gone.signal.throwIfAborted();
      if (expectsContinue) response.writeContinue();
      const digest = await receive(request, upload.block);
      if (announced !== undefined && announced !== digest) {
        throw new Refusal(422, `The body does not match its X-SHA-256: it has ${digest}`);
      }
      upload.commit(key, digest);
      send(response, 201, digestHeaders(digest));
    } finally {
      response.off("close", leave);
      upload.abort(); // Does nothing after the commit.
    }
  }

  /**
   * @param {IncomingMessage} request
   * @returns {number}
   */
  function bodyLength(request) {
    const header = request.headers["content-length"];
    if (header === undefined) throw new Refusal(411, "A body needs a Content-Length");
    if (!goodLength.test(header)) throw new Refusal(400, `"${header}" is not a length`);
    const bytes = Number(header);
    if (bytes > maxObjectBytes) {
      throw new Refusal(413, `A body of ${bytes} bytes is over the limit of ${maxObjectBytes}`);
    }
    return bytes;
  }

  /**
   * @param {IncomingMessage} request
   * @param {ServerResponse} response
   * @param {boolean} expectsContinue
   * @param {unknown} error
   */
  function refuse(request, response, expectsContinue, error) {
    if (response.destroyed || response.socket?.destroyed) return; // Nobody is there to be told.
    const { status, message, headers } = refusalOf(error);
    // The client holds its body back until it is told to go on, so this connection has no next request.
    const connection = expectsContinue ? { Connection: "close" } : {};
    const body = JSON.stringify({ error: message });
    sendText(response, status, "application/json", body, { ...headers, ...connection });
    discard(request);
  }

  /**
   * Lets a body that was refused run out, so that its sender gets to read the answer, but not without end.
   *
   * @param {IncomingMessage} request
   */
  function discard(request) {
    let left = blocks.limit;
    request.on("error", () => {});
    request.on("data", (chunk) => {
      left -= chunk.length;
      if (left < 0) request.destroy();
    });
  }

  function statistics() {
    return JSON.stringify({
      backEnd: blocks.name,
      limit: blocks.limit,
      bytesInUse: blocks.bytesInUse,
      blocksInUse: blocks.blocksInUse,
      cache: cache.stats(),
      memory: blocks.stats(),
      ...vitals(),
    });
  }
}

/**
 * Reads the body into the block as it comes, and resolves to its SHA-256.
 *
 * @param {IncomingMessage} request
 * @param {Buffer} block
 * @returns {Promise<string>}
 */
function receive(request, block) {
  return new Promise((resolve, reject) => {
    const hash = createHash("sha256");
    let filled = 0;
    let settled = false;
    /** @param {unknown} error */
    const fail = (error) => {
      settled = true;
      reject(error);
    };
    request.on("data", (chunk) => {
      // The block may already belong to somebody else.
      if (settled) return;
      block.set(chunk, filled);
      // The digest is of what lies in the block, not of what came over the wire.
      hash.update(block.subarray(filled, filled + chunk.length));
      filled += chunk.length;
      throwAway(chunk);
    });
    request.once("end", () => {
      if (filled !== block.length) return fail(new Refusal(400, `${filled} of ${block.length} bytes came`));
      settled = true;
      resolve(hash.digest("hex"));
    });
    request.once("error", fail);
    request.once("close", () => fail(new Error("The client left in the middle of its upload")));
  });
}

/** @param {unknown} error */
function refusalOf(error) {
  if (error instanceof Refusal) return { status: error.status, message: error.message, headers: error.headers };
  /** @type {Record<string, string>} */
  const headers = {};
  if (error instanceof BodyTooLargeError) return { status: 413, message: error.message, headers };
  if (error instanceof CacheBusyError) return { status: 503, message: error.message, headers: { "Retry-After": "1" } };
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ERR_OFFHEAP_OUT_OF_MEMORY" || code === "ERR_MEMORY_ALLOCATION_FAILED") {
    return { status: 507, message: "The system has no memory for this body", headers };
  }
  console.error(error);
  return { status: 500, message: "The service failed; its log says why", headers };
}

/** @param {string} digest */
function digestHeaders(digest) {
  return { ETag: `"${digest}"`, "X-SHA-256": digest };
}

/**
 * @param {ServerResponse} response
 * @param {number} status
 * @param {Record<string, string | number>} [headers]
 */
function send(response, status, headers = {}) {
  response.writeHead(status, headers).end();
}

/**
 * @param {ServerResponse} response
 * @param {number} status
 * @param {string} type
 * @param {string} text
 * @param {Record<string, string>} [headers]
 */
function sendText(response, status, type, text, headers = {}) {
  const body = Buffer.from(text);
  response
    .writeHead(status, { ...headers, "Content-Type": `${type}; charset=utf-8`, "Content-Length": body.length })
    .end(body);
}
