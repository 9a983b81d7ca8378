/** Lets each byte of the guest's console out once, although a part of the run may be run again. */
export class ConsoleGate {
  readonly #put: (byte: number) => void;
  /** Bytes that the run has sent up to where it stands. */
  count = 0;
  #shown = 0;

  constructor(put: (byte: number) => void) {
    this.#put = put;
  }

  /** To be given to the machine as its console. */
  readonly put = (byte: number): void => {
    this.count++;
    if (this.count <= this.#shown) return;
    this.#shown = this.count;
    this.#put(byte);
  };

  /** The run takes another way from here on. */
  cut(): void {
    this.#shown = this.count;
  }
}
