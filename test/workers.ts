/** Worker threads with offheap in them. */
import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { PACKAGE_ROOT } from "./child_process.js";

/** The package, as a string that can be put into a script. */
export const OFFHEAP = JSON.stringify(join(PACKAGE_ROOT, "dist", "index.js"));

/** What each script below can use. */
const PRELUDE = `
  const { parentPort, workerData, markAsUntransferable } = require("node:worker_threads");
  const { Heap, heap: defaultHeap, runtime } = require(${OFFHEAP});
`;

/** Starts a worker that runs `script`. */
export function startWorker(script: string, workerData?: unknown): Worker {
  return new Worker(`${PRELUDE}\n${script}`, { eval: true, workerData });
}

/** Runs a script in a worker; settles with what it posted when it has ended. */
export function runWorker(script: string, workerData?: unknown): Promise<unknown[]> {
  return finish(startWorker(script, workerData));
}

/** Settles with all that the worker posts from now on when it has ended. */
export function finish(worker: Worker): Promise<unknown[]> {
  const posted: unknown[] = [];
  worker.on("message", (message) => posted.push(message));
  return new Promise((resolve, reject) => {
    worker.on("error", reject);
    worker.on("exit", (code) => (code === 0 ? resolve(posted) : reject(new Error(`the worker ended with ${code}`))));
  });
}

/** The next message of the worker. */
export async function nextMessage<Message = unknown>(worker: Worker): Promise<Message> {
  const [message] = (await once(worker, "message")) as [Message];
  return message;
}
