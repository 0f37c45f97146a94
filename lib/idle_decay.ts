import { setTimeout as startTimer } from "node:timers";
import type { NativeHeap } from "./native.js";

/** Captured, so that a program that replaces its timers, as tests do, does not replace ours. */
const setTimeout = startTimer;

/**
 * Gives idle memory of one heap back to the kernel from time to time. The owner looks at `armed` after each operation
 * and calls `arm()` when it is false; from then on a timer calls the addon until nothing idle is left.
 *
 * The timer does not keep the process alive. It keeps the heap alive while it runs, which it stops to do by itself.
 */
export class IdleDecay {
  /** True while the timer runs. */
  armed = false;
  readonly #native: NativeHeap;
  readonly #milliseconds: number;

  constructor(native: NativeHeap, milliseconds: number) {
    this.#native = native;
    this.#milliseconds = milliseconds;
  }

  /** Starts the timer. */
  arm(): void {
    this.armed = true;
    setTimeout(IdleDecay.#tick, this.#milliseconds, this).unref();
  }

  static #tick(decay: IdleDecay): void {
    decay.armed = false;
    if (decay.#native.decay()) decay.arm();
  }
}
