/** A set of interrupt vectors, as the 256-bit registers of a local APIC hold them: eight words, the lowest vector first. */

export class VectorSet {
  readonly #words = new Uint32Array(8);

  add(vector: number): void {
    this.#words[vector >>> 5]! |= 1 << (vector & 31);
  }
  delete(vector: number): void {
    this.#words[vector >>> 5]! &= ~(1 << (vector & 31));
  }
  has(vector: number): boolean {
    return (this.#words[vector >>> 5]! & (1 << (vector & 31))) !== 0;
  }
  clear(): void {
    this.#words.fill(0);
  }
  word(index: number): number {
    return this.#words[index]!;
  }

  /** The highest vector in it, or -1. */
  get highest(): number {
    const words = this.#words;
    for (let word = 7; word >= 0; word--)
      if (words[word] !== 0) return word * 32 + 31 - Math.clz32(words[word]!);
    return -1;
  }

  capture(): Uint32Array {
    return this.#words.slice();
  }
  reinstate(words: Uint32Array): void {
    this.#words.set(words);
  }
}
