// @ts-check
/** How far a run is: one line that moves on a terminal, a line for each quarter anywhere else. */

const barWidth = 30;

export class Progress {
  #name;
  #terminal = process.stdout.isTTY === true;
  #quarters = 0;

  /** @param {string} name */
  constructor(name) {
    this.#name = name.padEnd(8);
  }

  /**
   * @param {number} objects
   * @param {number} bytes
   */
  begin(objects, bytes) {
    console.log(`${this.#name} ${objects} objects of 1 KiB to 8 MiB, cut from ${(bytes / 2 ** 20).toFixed(0)} MiB`);
  }

  /** @param {number} share from 0 to 1 */
  show(share) {
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    if (this.#terminal) {
      const bar = "#".repeat(Math.round(share * barWidth)).padEnd(barWidth, ".");
      process.stdout.write(`\r${this.#name} ${bar} ${percent}`);
      return;
    }
    const quarters = Math.floor(share * 4);
    if (quarters > this.#quarters && quarters < 4) console.log(`${this.#name} ${percent}`);
    this.#quarters = quarters;
  }

  /** @param {import("./load.mjs").Outcome} outcome */
  end(outcome) {
    const line = `${this.#name} ${outcome.requests} requests in ${outcome.seconds.toFixed(1)} s`;
    console.log(this.#terminal ? `\r${line.padEnd(this.#name.length + barWidth + 7)}` : line);
    for (const complaint of outcome.complaints) console.log(`${this.#name} ${complaint}`);
  }
}
