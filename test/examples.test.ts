import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import { endOfInterrupted } from "./runtime_features.js";

const examples = join(__dirname, "..", "examples");

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(file: string, ...flags: string[]): ChildProcess {
  return spawn(process.execPath, [join(examples, file), ...flags], { stdio: ["ignore", "pipe", "pipe"] });
}

async function run(file: string, ...flags: string[]): Promise<Ended> {
  const child = start(file, ...flags);
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

async function runWell(file: string, ...flags: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(file, ...flags);
  expect(stderr).to.equal("");
  expect(code).to.equal(0);
  return stdout;
}

/** How often, every 25 ms, one looks for what is to come: an emulated machine under load takes its time. */
const MOST_LOOKS = 2400;

describe("examples", () => {
  it("standalone: a heap of one's own ends with not a byte in use", async () => {
    const output = await runWell("standalone.mjs");
    expect(output).to.match(/4096 bytes at 0x[0-9a-f]{12}\n/);
    expect(output).to.include("All 100000 numbers are as they were written");
    expect(output).to.include("every view has length 0, and the heap holds 0 bytes in 0 blocks");
    expect(output).to.include("The heap is closed");
  });

  it("global: Buffers belong to the heap while it is installed, and to Node before and after", async () => {
    const output = await runWell("global.mjs");
    const [before, installed, restored] = output.split(/Installed|Restored/);
    expect(before).to.match(/alloc\(1048576\) +belongs to Node/);
    expect(installed).to.match(/allocUnsafeSlow\(1048576\) +belongs to the heap/);
    expect(installed).to.match(/allocUnsafe\(65535\) +belongs to Node/);
    expect(installed).to.include("1048576 bytes in use in its heap, 0 after free");
    expect(restored).to.match(/allocUnsafe\(1048576\) +belongs to Node/);
    expect(restored).to.include("The default heap holds 0 bytes.");
  });

  it("buckets: each size class has a span of its own, and the heap is drawn", async () => {
    const output = await runWell("buckets.mjs");
    const spans = [...output.matchAll(/^ +(?:8|16|24) bytes at .* in the span at (0x[0-9a-f]{12})$/gm)];
    expect(new Set(spans.map(([, address]) => address)).size).to.equal(3);
    expect(output).to.include('Heap "buckets"');
    expect(output).to.match(/Region 0x[0-9a-f]{12}/);
    expect(output).to.match(/bucket .* x 24 B +\[[#+.]+\]/);
    expect(output).to.include("What is drawn as used is what is in use: 206 blocks");
  });

  it("aligned: every remainder is 0, from 16 bytes to 2 MiB", async () => {
    const output = await runWell("aligned.mjs");
    const remainders = [...output.matchAll(/0x[0-9a-f]{12} +(\d+)/g)].map(([, remainder]) => remainder);
    expect(remainders).to.have.length(36);
    expect(new Set(remainders)).to.deep.equal(new Set(["0"]));
    expect(output).to.include("not one byte stood between two blocks");
  });

  it("blob-cache: both back ends serve every body bit for bit and lose nothing", async () => {
    const output = await runWell("blob-cache/run.mjs", "--requests", "600", "--seconds", "900", "--limit-mib", "24");
    expect(output).to.match(/offheap +plain Buffers +ratio\n/);
    for (const row of ["hash mismatches", "failed requests", "bytes in use at the end"]) {
      expect(output).to.match(new RegExp(`^${row} +0 +0$`, "m"));
    }
    expect(output).to.match(/^evictions +[1-9][\d,]* +[1-9][\d,]* /m);
    expect(output).to.include('Heap "blob cache"');
    expect(output).to.match(/^ok {2}offheap: /m);
    expect(output).to.match(/^ok {2}plain Buffers: /m);
  });

  it("blob-cache: the clock bounds a run, and that is said", async () => {
    const { stdout } = await run(
      ...(["blob-cache/run.mjs", "--blocks", "buffers"] as const),
      ...(["--requests", "1000000000", "--seconds", "1"] as const),
    );
    expect(stdout).to.include("the clock ended the run before all requests were sent");
    // How far it comes in that second, and so whether it evicts anything, is another matter.
    expect(stdout).to.not.match(/came back wrong|requests failed|were lost/);
  });

  it("blob-cache: a run in which nothing is evicted is a failure", async () => {
    const { code, stdout } = await run("blob-cache/run.mjs", "--blocks", "buffers", "--requests", "5");
    expect(code).to.equal(1);
    expect(stdout).to.match(/^FAILED {2}plain Buffers: .*nothing was ever evicted/m);
  });

  it("blob-cache: wrong flags are refused in one line with code 2", async () => {
    for (const [flags, words] of [
      [["--blocks", "paper"], '--blocks must be one of offheap, buffers, not "paper"'],
      [["--requests", "many"], "--requests must be a whole number"],
      [["--seconds", ""], "--seconds must be a number"],
      [["--limit-mib", "1"], "--limit-mib must be a number from 8"],
      [["--colour"], "Unknown option '--colour'"],
    ] as const) {
      const { code, stderr } = await run("blob-cache/run.mjs", ...flags);
      expect(code).to.equal(2);
      expect(stderr).to.include(words);
      expect(stderr).to.not.match(/^ +at /m);
    }
  });

  it("blob-cache: an interrupted run leaves no process behind", async function () {
    const childrenOf = (pid: number) => `/proc/${pid}/task/${pid}/children`;
    // Not asked of the folder: Wine shows the one of the system below.
    if (process.platform !== "linux") return this.skip();
    const child = start("blob-cache/run.mjs", "--blocks", "buffers", "--requests", "1000000000");
    const ended = once(child, "close");
    let pids: number[] = [];
    for (let attempt = 0; pids.length < 2 && attempt < MOST_LOOKS; attempt++) {
      await setTimeout(25);
      pids = readFileSync(childrenOf(child.pid ?? 0), "utf8")
        .trim()
        .split(" ")
        .filter((pid) => pid !== "")
        .map(Number);
    }
    expect(pids).to.have.length(2);
    child.kill("SIGINT");
    expect(await ended).to.deep.equal(endOfInterrupted);
    for (let attempt = 0; pids.some(isAlive) && attempt < MOST_LOOKS; attempt++) await setTimeout(25);
    expect(pids.filter(isAlive)).to.deep.equal([]);
  });
});

function isAlive(pid: number): boolean {
  try {
    // A process that has ended and waits to be noticed by its parent counts as gone.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
