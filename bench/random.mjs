// @ts-check
/** Numbers that look random and are the same in every run: xorshift, 32 bits. */
export class Random {
  #state;

  /** @param {number} seed not 0 */
  constructor(seed) {
    this.#state = seed;
  }

  /**
   * @param {number} limit
   * @returns {number} an integer from 0 to `limit` - 1
   */
  below(limit) {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  /**
   * As many between 1 and 2 KiB as between 256 and 512 KiB.
   *
   * @param {number} least
   * @param {number} most
   * @returns {number} an integer from `least` to `most`
   */
  logUniform(least, most) {
    if (least === most) return least;
    return Math.round(least * (most / least) ** (this.below(2 ** 30) / 2 ** 30));
  }
}
