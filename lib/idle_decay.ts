import { setTimeout as startTimer } from "node:timers";
import type { NativeHeap } from "./native.js";

/** Captured, so that a program that replaces its timers, as tests do, does not replace ours. */
const setTimeout = startTimer;

/** How much longer the timer waits each time it has found nothing but live blocks, and at most. */
const BACK_OFF = 2;
const MOST_SECONDS_BETWEEN = 30;

/**
 * Gives idle memory of one heap back to the kernel from time to time. The owner looks at `armed` after each operation
 * and calls `arm()` when it is false; from then on a timer calls the addon until nothing idle is left. While there are
 * blocks, the garbage collector or another thread may give them back unnoticed: then the timer goes on, less and less
 * often.
 *
 * The timer does not keep the process alive. It keeps the heap alive while it runs, which it stops to do by itself when
 * no block is left.
 */
export class IdleDecay {
  /** True while the timer runs at its shortest interval. */
  armed = false;
  readonly #native: NativeHeap;
  readonly #milliseconds: number;
  #waiting = false;
  #interval: number;

  constructor(native: NativeHeap, milliseconds: number) {
    this.#native = native;
    this.#milliseconds = milliseconds;
    this.#interval = milliseconds;
  }

  /** Starts the timer. */
  arm(): void {
    this.armed = true;
    this.#interval = this.#milliseconds;
    setTimeout(IdleDecay.#tick, this.#milliseconds, this).unref();
  }

  static #tick(decay: IdleDecay): void {
    decay.armed = false;
    const left = decay.#native.decay();
    if (left === "idle pages") decay.arm();
    else if (left === "blocks") decay.#wait();
  }

  #wait(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#interval = Math.min(this.#interval * BACK_OFF, MOST_SECONDS_BETWEEN * 1000);
    setTimeout(IdleDecay.#look, this.#interval, this).unref();
  }

  /** After a long wait, unless the heap has been used meanwhile: then the other timer looks. */
  static #look(decay: IdleDecay): void {
    decay.#waiting = false;
    if (!decay.armed) IdleDecay.#tick(decay);
  }
}
