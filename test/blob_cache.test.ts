import { createHash } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { closedPortTakesBuffers } from "./runtime_features.js";

/** What the tests use of examples/blob-cache, which is plain JavaScript. */
interface Blocks {
  readonly limit: number;
  readonly bytesInUse: number;
  readonly blocksInUse: number;
  take(bytes: number): Buffer;
  give(block: Buffer): void;
  close(): void;
}

interface Upload {
  readonly block: Buffer;
  commit(key: string, digest: string): void;
  abort(): void;
}

interface Pin {
  readonly block: Buffer;
  readonly digest: string;
  release(): void;
}

interface Cache {
  readonly size: number;
  keys(): string[];
  stats(): { [count in "hits" | "evictions" | "peakBytesInUse" | "waiting"]: number };
  upload(bytes: number, signal?: AbortSignal): Promise<Upload>;
  pin(key: string): Pin | undefined;
  delete(key: string): boolean;
  clear(): void;
  close(): void;
}

interface Modules {
  createBlocks(backEnd: string, limit: number): Promise<Blocks>;
  readonly BlobCache: new (blocks: Blocks, options?: { waitMilliseconds?: number }) => Cache;
  createService(options: Record<string, unknown>): Server;
  judge(runs: readonly unknown[]): { lines: string[]; good: boolean };
  throwAway(chunk: Buffer): void;
}

const folder = join(__dirname, "..", "examples", "blob-cache");

async function load(): Promise<Modules> {
  const files = ["blocks.mjs", "cache.mjs", "service.mjs", "report.mjs", "bin.mjs"];
  const modules = await Promise.all(files.map((file) => import(pathToFileURL(join(folder, file)).href)));
  return Object.assign({}, ...modules) as Modules;
}

const KiB = 1024;
const MiB = 1024 * KiB;

function sha256(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}

/** Bytes that differ from one seed to the next, and from one place to the next. */
function bodyOf(bytes: number, seed: number): Buffer {
  const body = Buffer.allocUnsafeSlow(bytes);
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    body[i] = state >>> 24;
  }
  return body;
}

async function store(cache: Cache, key: string, bytes: number, seed = 0): Promise<void> {
  const upload = await cache.upload(bytes);
  const body = bodyOf(bytes, seed);
  upload.block.set(body);
  upload.commit(key, sha256(body));
}

function pinned(cache: Cache, key: string): Pin {
  const pin = cache.pin(key);
  if (pin === undefined) throw new Error(`"${key}" is not in the cache`);
  return pin;
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = {};
  const first = await Promise.race([promise.catch(() => undefined), setTimeout(20, pending)]);
  return first !== pending;
}

async function errorOf(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("It did not fail");
}

async function eventually(holds: () => boolean): Promise<void> {
  for (let attempt = 0; !holds() && attempt < 400; attempt++) await setTimeout(5);
  expect(holds(), String(holds)).to.equal(true);
}

for (const backEnd of ["offheap", "buffers"]) {
  describe(`blob cache on ${backEnd}`, () => {
    let modules: Modules;
    let blocks: Blocks;
    let cache: Cache;

    before(async () => {
      modules = await load();
    });

    async function open(limit: number, waitMilliseconds = 5000): Promise<void> {
      blocks = await modules.createBlocks(backEnd, limit);
      cache = new modules.BlobCache(blocks, { waitMilliseconds });
    }

    afterEach(() => {
      cache.close();
      expect(blocks.bytesInUse).to.equal(0);
      expect(blocks.blocksInUse).to.equal(0);
      blocks.close();
    });

    describe("blocks", () => {
      it("are counted to the byte and never pass the limit", async () => {
        await open(1000);
        const block = blocks.take(600);
        expect(block).to.have.length(600);
        expect(blocks.bytesInUse).to.equal(600);
        expect(() => blocks.take(401))
          .to.throw()
          .with.property("code", "ERR_BLOCKS_FULL");
        expect(blocks.bytesInUse).to.equal(600);
        const rest = blocks.take(400);
        expect(blocks.blocksInUse).to.equal(2);
        blocks.give(block);
        blocks.give(rest);
      });

      it("of no bytes cost nothing", async () => {
        await open(1000);
        const empty = blocks.take(0);
        expect(empty).to.have.length(0);
        expect(blocks.blocksInUse).to.equal(0);
        blocks.give(empty);
      });
    });

    describe("cache", () => {
      it("evicts what was used least recently, and frees it at once", async () => {
        await open(3000);
        for (const key of ["a", "b", "c"]) await store(cache, key, 1000);
        pinned(cache, "a").release();
        await store(cache, "d", 500);
        expect(cache.keys()).to.deep.equal(["c", "a", "d"]);
        expect(blocks.bytesInUse).to.equal(2500);
        await store(cache, "e", 1400);
        expect(cache.keys()).to.deep.equal(["a", "d", "e"]);
        expect(cache.stats()).to.include({ evictions: 2, bytesEvicted: 2000 });
      });

      it("evicts no more than it must", async () => {
        await open(3000);
        for (const key of ["a", "b", "c"]) await store(cache, key, 1000);
        await store(cache, "d", 1000);
        expect(cache.keys()).to.deep.equal(["b", "c", "d"]);
      });

      it("passes over a body that is being served", async () => {
        await open(3000);
        for (const key of ["a", "b", "c"]) await store(cache, key, 1000, key.charCodeAt(0));
        const pin = pinned(cache, "a");
        for (const key of ["d", "e", "f"]) await store(cache, key, 1000);
        expect(cache.keys()).to.deep.equal(["a", "e", "f"]);
        expect(sha256(pin.block)).to.equal(pin.digest);
        pin.release();
      });

      it("retires what is being served when nothing else makes room, and waits for the last reader", async () => {
        await open(2000);
        await store(cache, "a", 1000, 1);
        await store(cache, "b", 1000, 2);
        const readers = [pinned(cache, "a"), pinned(cache, "a"), pinned(cache, "b")];
        const waiting = cache.upload(1000);
        expect(await isSettled(waiting)).to.equal(false);
        expect(cache.pin("a")).to.equal(undefined);
        expect(cache.keys()).to.deep.equal(["b"]);
        expect(blocks.bytesInUse).to.equal(2000);
        readers[0]?.release();
        expect(await isSettled(waiting)).to.equal(false);
        expect(sha256(readers[1]?.block ?? Buffer.alloc(0))).to.equal(readers[1]?.digest);
        readers[1]?.release();
        (await waiting).abort();
        expect(cache.stats()).to.include({ evictedWhileServed: 1, waited: 1 });
        readers[2]?.release();
      });

      it("evicts nothing idle in vain", async () => {
        await open(3000);
        for (const key of ["a", "b", "c"]) await store(cache, key, 1000);
        const pin = pinned(cache, "a");
        const waiting = cache.upload(2500);
        expect(await isSettled(waiting)).to.equal(false);
        expect(cache.keys()).to.deep.equal(["b", "c"]);
        pin.release();
        expect(cache.keys()).to.deep.equal([]);
        (await waiting).abort();
      });

      it("serves those that wait in the order in which they came", async () => {
        await open(2000);
        const first = await cache.upload(1500);
        const order: string[] = [];
        const large = cache.upload(1500).then((upload) => {
          order.push("large");
          return upload;
        });
        // It would fit at once, but large ones would wait for ever if small ones could overtake them.
        const small = cache.upload(10).then((upload) => {
          order.push("small");
          return upload;
        });
        expect(await isSettled(small)).to.equal(false);
        first.abort();
        for (const upload of await Promise.all([large, small])) upload.abort();
        expect(order).to.deep.equal(["large", "small"]);
      });

      it("gives up after a while, and those behind go on", async () => {
        await open(2000, 60);
        const first = await cache.upload(1500);
        const large = cache.upload(1000);
        const small = cache.upload(500);
        expect((await errorOf(large)).code).to.equal("ERR_CACHE_BUSY");
        (await small).abort();
        first.abort();
        expect(cache.stats()).to.include({ gaveUp: 1, waiting: 0 });
      });

      it("forgets an upload that stops waiting", async () => {
        await open(2000);
        const first = await cache.upload(2000);
        const leaver = new AbortController();
        const waiting = cache.upload(100, leaver.signal);
        leaver.abort(new Error("left"));
        expect((await errorOf(waiting)).message).to.equal("left");
        expect((await errorOf(cache.upload(100, leaver.signal))).message).to.equal("left");
        first.abort();
        expect(blocks.bytesInUse).to.equal(0);
      });

      it("frees an upload that is aborted, once", async () => {
        await open(2000);
        const upload = await cache.upload(700);
        expect(blocks.bytesInUse).to.equal(700);
        upload.abort();
        upload.abort();
        upload.commit("a", "");
        expect(blocks.bytesInUse).to.equal(0);
        expect(cache.size).to.equal(0);
      });

      it("keeps the replaced and the deleted body for those that are being served from it", async () => {
        await open(5000);
        await store(cache, "a", 1000, 1);
        const old = pinned(cache, "a");
        await store(cache, "a", 500, 2);
        const newer = pinned(cache, "a");
        expect(cache.delete("a")).to.equal(true);
        expect(cache.delete("a")).to.equal(false);
        expect(blocks.bytesInUse).to.equal(1500);
        expect(sha256(old.block)).to.equal(sha256(bodyOf(1000, 1)));
        expect(sha256(newer.block)).to.equal(sha256(bodyOf(500, 2)));
        old.release();
        old.release();
        expect(blocks.bytesInUse).to.equal(500);
        newer.release();
        expect(blocks.bytesInUse).to.equal(0);
      });

      it("refuses a body that can never fit", async () => {
        await open(1000);
        await store(cache, "a", 1000);
        expect((await errorOf(cache.upload(1001))).code).to.equal("ERR_BODY_TOO_LARGE");
        expect(cache.keys()).to.deep.equal(["a"]);
      });

      it("when it is closed, lets go of everything and sends those that wait away", async () => {
        await open(1000);
        await store(cache, "a", 400, 1);
        const pin = pinned(cache, "a");
        const upload = await cache.upload(600);
        const waiting = cache.upload(10);
        cache.close();
        expect((await errorOf(waiting)).code).to.equal("ERR_CACHE_BUSY");
        expect((await errorOf(cache.upload(10))).code).to.equal("ERR_CACHE_BUSY");
        expect(sha256(pin.block)).to.equal(pin.digest);
        pin.release();
        upload.commit("late", "");
        expect(cache.size).to.equal(0);
        expect(blocks.bytesInUse).to.equal(0);
      });

      it("keeps the limit, the counts and every byte through random use", async () => {
        const limit = 256 * KiB;
        await open(limit, 50);
        let state = 7;
        const random = (below: number) => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          return Math.floor((state / 2 ** 32) * below);
        };
        const pins: { pin: Pin; digest: string }[] = [];
        const uploads: { upload: Upload; seed: number }[] = [];
        for (let step = 0; step < 5000; step++) {
          const key = `key-${random(40)}`;
          const action = random(10);
          if (action < 3 && uploads.length < 4) {
            const promise = cache.upload(random(24 * KiB));
            if (await isQuick(promise)) uploads.push({ upload: await promise, seed: step });
            else promise.then((upload) => upload.abort()).catch(() => {});
          } else if (action < 5) {
            const { upload, seed } = uploads.splice(random(uploads.length), 1)[0] ?? {};
            if (upload === undefined || seed === undefined) continue;
            upload.block.set(bodyOf(upload.block.length, seed));
            if (random(5) === 0) upload.abort();
            else upload.commit(key, sha256(upload.block));
          } else if (action < 7) {
            const pin = cache.pin(key);
            if (pin !== undefined) pins.push({ pin, digest: pin.digest });
          } else if (action < 9) {
            const { pin, digest } = pins.splice(random(pins.length), 1)[0] ?? {};
            if (pin !== undefined) expect(sha256(pin.block)).to.equal(digest);
            pin?.release();
          } else {
            cache.delete(key);
          }
          while (pins.length > 12) pins.shift()?.pin.release();
          expect(blocks.bytesInUse).to.be.at.most(limit);
        }
        for (const { pin } of pins) pin.release();
        for (const { upload } of uploads) upload.abort();
        await setTimeout(60);
        expect(cache.stats()).to.include({ retiredBytes: 0, waiting: 0, idleBytes: blocks.bytesInUse });
        expect(cache.stats().evictions).to.be.greaterThan(0);
        expect(cache.stats().peakBytesInUse).to.be.at.most(limit);
      });
    });

    describe("service", () => {
      let server: Server;
      let port: number;

      async function serve(limit: number, options: Record<string, unknown> = {}, wait = 5000): Promise<void> {
        await open(limit, wait);
        server = modules.createService({ blocks, cache, ...options });
        server.listen(0, "127.0.0.1");
        await once(server, "listening");
        port = (server.address() as AddressInfo).port;
      }

      afterEach(async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
        cache.close();
        await eventually(() => blocks.bytesInUse === 0);
      });

      interface Reply {
        readonly status: number | undefined;
        readonly headers: IncomingMessage["headers"];
        readonly body: Buffer;
      }

      function ask(
        method: string,
        path: string,
        body?: Uint8Array | string,
        headers: Record<string, string | number> = {},
      ): Promise<Reply> {
        return new Promise((resolve, reject) => {
          const length = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
          const request = httpRequest({ port, host: "127.0.0.1", method, path, headers: { ...length, ...headers } });
          request.once("error", reject);
          request.once("response", (response) => {
            const chunks: Buffer[] = [];
            response.on("data", (chunk: Buffer) => chunks.push(chunk));
            response.once("error", reject);
            response.once("end", () =>
              resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }),
            );
          });
          request.end(body);
        });
      }

      /** A connection on which a test writes what it likes. */
      async function raw(text: string): Promise<Socket> {
        const socket = connect(port, "127.0.0.1");
        socket.on("error", () => {});
        await once(socket, "connect");
        socket.write(text);
        return socket;
      }

      it("stores a body and serves it bit for bit, with its hash", async () => {
        await serve(8 * MiB);
        for (const bytes of [0, 1, 1000, 64 * KiB, 64 * KiB + 1, 3 * MiB]) {
          const body = bodyOf(bytes, bytes);
          const put = await ask("PUT", "/objects/body", body, { "X-SHA-256": sha256(body) });
          expect(put.status).to.equal(201);
          const got = await ask("GET", "/objects/body");
          expect(got.status).to.equal(200);
          expect(got.body.equals(body)).to.equal(true);
          for (const { headers } of [put, got]) {
            expect(headers).to.include({ "x-sha-256": sha256(body), etag: `"${sha256(body)}"` });
          }
        }
        expect(blocks.bytesInUse).to.equal(3 * MiB);
      });

      it("answers HEAD and If-None-Match without the body", async () => {
        await serve(MiB);
        const body = bodyOf(5000, 1);
        await ask("PUT", "/objects/a", body);
        const head = await ask("HEAD", "/objects/a");
        expect([head.status, head.headers["content-length"], head.body.length]).to.deep.equal([200, "5000", 0]);
        const same = await ask("GET", "/objects/a", undefined, { "If-None-Match": `"${sha256(body)}"` });
        expect([same.status, same.body.length]).to.deep.equal([304, 0]);
        const other = await ask("GET", "/objects/a", undefined, { "If-None-Match": '"other"' });
        expect(other.status).to.equal(200);
      });

      it("forgets one body or all of them", async () => {
        await serve(MiB);
        for (const key of ["a", "b", "c"]) await ask("PUT", `/objects/${key}`, "body");
        expect((await ask("DELETE", "/objects/a")).status).to.equal(204);
        expect((await ask("DELETE", "/objects/a")).status).to.equal(404);
        expect((await ask("GET", "/objects/a")).status).to.equal(404);
        expect((await ask("DELETE", "/objects")).status).to.equal(204);
        expect(blocks.bytesInUse).to.equal(0);
      });

      it("refuses what makes no sense, and holds no memory for it", async () => {
        await serve(MiB, { maxObjectBytes: 1000 });
        const long = "k".repeat(129);
        for (const [status, method, path, body, headers] of [
          [400, "PUT", "/objects/", "x", {}],
          [400, "PUT", "/objects/a%20b", "x", {}],
          [400, "GET", `/objects/${long}`, undefined, {}],
          [400, "PUT", "/objects/a", "x", { "X-SHA-256": "short" }],
          [404, "GET", "/objects/none", undefined, {}],
          [404, "GET", "/objects/a/b", undefined, {}],
          [404, "GET", "/", undefined, {}],
          [405, "POST", "/objects/a", "x", {}],
          [411, "PUT", "/objects/a", undefined, { "Transfer-Encoding": "chunked" }],
          [413, "PUT", "/objects/a", Buffer.alloc(1001), {}],
          [422, "PUT", "/objects/a", "x", { "X-SHA-256": sha256(Buffer.from("y")) }],
        ] as const) {
          const reply = await ask(method, path, body, headers);
          expect(reply.status, `${method} ${path}`).to.equal(status);
          expect(JSON.parse(reply.body.toString())).to.have.property("error").that.is.a("string");
          expect(blocks.bytesInUse).to.equal(0);
        }
        expect((await ask("PUT", "/objects/a", Buffer.alloc(1000))).status).to.equal(201);
      });

      it("refuses a large body before it is sent, if it may", async () => {
        await serve(MiB, { maxObjectBytes: 1000 });
        const socket = await raw(
          "PUT /objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n",
        );
        expect(String((await once(socket, "data"))[0])).to.match(/^HTTP\/1.1 413 /);
        socket.destroy();
        const willing = await raw(
          "PUT /objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        );
        expect(String((await once(willing, "data"))[0])).to.match(/^HTTP\/1.1 100 /);
        willing.write("body");
        expect(String((await once(willing, "data"))[0])).to.match(/^HTTP\/1.1 201 /);
        willing.destroy();
      });

      it("lets a sender that ignores the limit read its refusal", async () => {
        await serve(4 * MiB, { maxObjectBytes: 1000 });
        expect((await ask("PUT", "/objects/a", Buffer.alloc(2 * MiB))).status).to.equal(413);
      });

      it("cuts a sender that ignores its refusal without end", async () => {
        await serve(MiB, { maxObjectBytes: 1000 });
        const socket = await raw(`PUT /objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: ${1024 * MiB}\r\n\r\n`);
        let sent = 0;
        const part = Buffer.alloc(256 * KiB);
        const closed = new Promise((resolve) => socket.once("close", resolve));
        socket.resume();
        while (!socket.destroyed && sent < 256 * MiB) {
          sent += part.length;
          if (!socket.write(part))
            await Promise.race([closed, new Promise((drained) => socket.once("drain", drained))]);
        }
        expect(sent).to.be.below(64 * MiB);
        socket.destroy();
      });

      it("does not complain in its log about those who leave", async () => {
        await serve(MiB);
        const log = console.error;
        let complaints = 0;
        console.error = () => {
          complaints++;
        };
        try {
          const socket = await raw("PUT /objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf");
          await eventually(() => blocks.bytesInUse === 1000);
          socket.destroy();
          await eventually(() => blocks.bytesInUse === 0);
          await setTimeout(20);
        } finally {
          console.error = log;
        }
        expect(complaints).to.equal(0);
      });

      it("frees the block of an upload that gets it when its sender has just left", async () => {
        const late = {
          upload: async (bytes: number) => {
            const upload = await cache.upload(bytes);
            await setTimeout(100);
            return upload;
          },
        };
        await serve(MiB, { cache: late });
        const socket = await raw("PUT /objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf");
        await eventually(() => blocks.bytesInUse === 1000);
        socket.destroy();
        await eventually(() => blocks.bytesInUse === 0);
      });

      it("frees the block of an upload that breaks off", async () => {
        await serve(MiB);
        const socket = await raw(`PUT /objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: ${512 * KiB}\r\n\r\nhalf`);
        await eventually(() => blocks.bytesInUse === 512 * KiB);
        socket.destroy();
        await eventually(() => blocks.bytesInUse === 0);
        expect(cache.stats()).to.include({ stored: 0, aborted: 1 });
      });

      it("frees the block of an upload that stalls", async () => {
        await serve(MiB, { idleMilliseconds: 100 });
        const socket = await raw("PUT /objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf");
        await eventually(() => blocks.bytesInUse === 1000);
        await eventually(() => blocks.bytesInUse === 0);
        socket.destroy();
      });

      it("answers 503 when readers and uploads hold the memory for too long", async () => {
        await serve(1000, {}, 50);
        const socket = await raw("PUT /objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nhalf");
        await eventually(() => blocks.bytesInUse === 900);
        const reply = await ask("PUT", "/objects/b", Buffer.alloc(200));
        expect([reply.status, reply.headers["retry-after"]]).to.deep.equal([503, "1"]);
        socket.destroy();
        await eventually(() => blocks.bytesInUse === 0);
        expect((await ask("PUT", "/objects/b", Buffer.alloc(200))).status).to.equal(201);
      });

      it("forgets an upload whose sender left while it waited", async () => {
        await serve(1000);
        const holder = await cache.upload(900);
        const socket = await raw("PUT /objects/b HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n");
        await eventually(() => cache.stats().waiting === 1);
        socket.destroy();
        await eventually(() => cache.stats().waiting === 0);
        holder.abort();
      });

      /** Large enough that the sockets cannot take it all. */
      const large = 24 * MiB;

      it("lets go of a block when its download breaks off", async () => {
        await serve(2 * large);
        await ask("PUT", "/objects/a", bodyOf(large, 1));
        const socket = await raw("GET /objects/a HTTP/1.1\r\nHost: x\r\n\r\n");
        await once(socket, "data");
        socket.pause();
        await ask("DELETE", "/objects/a");
        await setTimeout(50);
        expect(blocks.bytesInUse).to.equal(large);
        socket.destroy();
        await eventually(() => blocks.bytesInUse === 0);
      });

      it("lets go of every block that stood in line on a connection that breaks off", async () => {
        await serve(2 * large);
        await ask("PUT", "/objects/a", bodyOf(large, 1));
        await ask("PUT", "/objects/b", bodyOf(1000, 2));
        const get = (key: string) => `GET /objects/${key} HTTP/1.1\r\nHost: x\r\n\r\n`;
        const socket = await raw(get("a") + get("b").repeat(20));
        await once(socket, "data");
        socket.pause();
        await eventually(() => cache.stats().hits === 21);
        await ask("DELETE", "/objects");
        expect(blocks.bytesInUse).to.equal(large + 1000);
        socket.destroy();
        await eventually(() => blocks.bytesInUse === 0);
      });

      it("cuts a download on which nothing moves", async () => {
        await serve(2 * large, { idleMilliseconds: 200 });
        await ask("PUT", "/objects/a", bodyOf(large, 1));
        const socket = await raw("GET /objects/a HTTP/1.1\r\nHost: x\r\n\r\n");
        await once(socket, "data");
        socket.pause();
        await ask("DELETE", "/objects/a");
        await eventually(() => blocks.bytesInUse === 0);
        socket.destroy();
      });

      it("cuts a download that takes too long, though it moves", async () => {
        await serve(2 * large, { downloadMilliseconds: 200 });
        await ask("PUT", "/objects/a", bodyOf(large, 1));
        const socket = await raw("GET /objects/a HTTP/1.1\r\nHost: x\r\n\r\n");
        let more = true;
        socket.once("close", () => {
          more = false;
        });
        socket.pause();
        const trickle = async () => {
          while (more) {
            socket.read(1);
            await setTimeout(10);
          }
        };
        const done = trickle();
        await eventually(() => cache.stats().hits === 1);
        await ask("DELETE", "/objects/a");
        await eventually(() => blocks.bytesInUse === 0);
        socket.destroy();
        await done;
      });

      it("serves a slow reader bit for bit while its body is evicted and others fight for the memory", async () => {
        await serve(large + 2 * MiB, {}, 200);
        const body = bodyOf(large, 3);
        await ask("PUT", "/objects/slow", body);
        const socket = await raw("GET /objects/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        const chunks: Buffer[] = [(await once(socket, "data"))[0] as Buffer];
        socket.pause();
        for (let i = 0; i < 30; i++) await ask("PUT", `/objects/other-${i}`, bodyOf(MiB, i));
        // This one only fits when the slow reader has gone, so the body it reads is retired.
        expect((await ask("PUT", "/objects/wide", bodyOf(8 * MiB, 4))).status).to.equal(503);
        expect((await ask("GET", "/objects/slow")).status).to.equal(404);
        socket.on("data", (chunk: Buffer) => chunks.push(chunk));
        socket.resume();
        await once(socket, "end");
        const answer = Buffer.concat(chunks);
        expect(sha256(answer.subarray(answer.indexOf("\r\n\r\n") + 4))).to.equal(sha256(body));
        await eventually(() => blocks.bytesInUse <= 2 * MiB);
        expect((await ask("PUT", "/objects/wide", bodyOf(8 * MiB, 4))).status).to.equal(201);
      });

      it("shows its numbers and its memory", async () => {
        await serve(MiB, { vitals: () => ({ extra: 7 }) });
        await ask("PUT", "/objects/a", bodyOf(1234, 1));
        const { body } = await ask("GET", "/stats");
        const stats = JSON.parse(body.toString()) as { memory: object };
        expect(stats).to.include({ backEnd, limit: MiB, bytesInUse: 1234, blocksInUse: 1, extra: 7 });
        expect(stats.memory).to.include({ requested: 1234, blocks: 1 });
        const picture = (await ask("GET", "/picture")).body.toString();
        expect(picture).to.include(backEnd === "offheap" ? 'Heap "blob cache"' : "nothing to draw");
      });
    });
  });
}

/** Whether the promise is settled without anything else having to happen. */
async function isQuick(promise: Promise<unknown>): Promise<boolean> {
  let quick = false;
  promise.then(
    () => {
      quick = true;
    },
    () => {},
  );
  for (let turn = 0; turn < 5; turn++) await undefined;
  return quick;
}

describe("blob cache in all", () => {
  it("calls a run good only when every claim holds", async () => {
    const { judge } = await load();
    const good = {
      backEnd: "offheap",
      outcome: { hits: 5, bytesStored: 100, mismatches: 0, failures: 0, outOfTime: false },
      loaded: { limit: 100, cache: { hits: 5, bytesStored: 100, evictions: 3, peakBytesInUse: 100 } },
      emptied: { bytesInUse: 0, blocksInUse: 0 },
      exitCode: 0,
    };
    expect(judge([good]).good).to.equal(true);
    for (const [bad, words] of [
      [{ ...good, outcome: { ...good.outcome, mismatches: 1 } }, "1 bodies came back wrong"],
      [{ ...good, outcome: { ...good.outcome, failures: 2 } }, "2 requests failed"],
      [{ ...good, outcome: { ...good.outcome, bytesStored: 99 } }, "counted differently"],
      [
        { ...good, loaded: { ...good.loaded, cache: { ...good.loaded.cache, evictions: 0 } } },
        "nothing was ever evicted",
      ],
      [{ ...good, loaded: { ...good.loaded, limit: 99 } }, "under a limit of 99"],
      [{ ...good, emptied: { bytesInUse: 1, blocksInUse: 1 } }, "1 bytes in 1 blocks were lost"],
      [{ ...good, exitCode: 1 }, "the server ended with code 1"],
    ] as const) {
      const verdict = judge([good, bad]);
      expect(verdict.good).to.equal(false);
      expect(verdict.lines.join("\n")).to.include(words);
    }
  });

  it(`throws away a chunk ${closedPortTakesBuffers ? "at once" : "with the garbage"}, but none that shares its memory`, async () => {
    const { throwAway } = await load();
    const chunk = Buffer.alloc(65536);
    throwAway(chunk);
    expect(chunk).to.have.length(closedPortTakesBuffers ? 0 : 65536);
    const shared = Buffer.alloc(100).subarray(10);
    throwAway(shared);
    expect(shared).to.have.length(90);
    const inSharedMemory = Buffer.from(new SharedArrayBuffer(10));
    throwAway(inSharedMemory);
    expect(inSharedMemory).to.have.length(10);
  });
});
