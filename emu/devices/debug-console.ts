/** A console that is one port (Bochs; QEMU, hw/char/debugcon.c): what is written there is printed, and a read tells that it is there. */
import type { PortDevice } from './ports.js';

const PORT = 0xe9;

export class DebugConsole {
  readonly devices: readonly PortDevice[];

  constructor(print: (byte: number) => void) {
    this.devices = [
      {
        firstPort: PORT,
        ports: 1,
        read: () => PORT,
        write: (_offset, value) => print(value & 0xff),
      },
    ];
  }

  /** It holds nothing. */
  capture(): undefined {}
  reinstate(): void {}
}
