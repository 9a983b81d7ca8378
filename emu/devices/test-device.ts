/**
 * Ports of QEMU's test device for PCs (QEMU, hw/misc/pc-testdev.c), as far as they are ports: test suites for hypervisors talk to them. Its
 * memory at 0xff000000 is not there.
 */
import type { PortDevice } from './ports.js';

/** Four bytes that are read as they were written, in accesses of any size; the second place is for accesses cut into bytes. */
const MEMORY = [0xe0, 0xe8] as const;
/** Asks for a page to be taken out of caches that there are not. */
const FLUSH = 0xe4;
/** An interrupt line to a port: what is written is its level. */
const LINES = { first: 0x2000, count: 24 } as const;
const BYTES = 4;

export interface TestDeviceState {
  readonly memory: Uint8Array;
}

export class TestDevice {
  readonly devices: readonly PortDevice[];
  readonly #memory = Buffer.alloc(BYTES);

  /** @param setLine an interrupt line of the machine; undefined: it has none, and the ports for them are not there */
  constructor(setLine: ((line: number, level: boolean) => void) | undefined) {
    const memory = (firstPort: number): PortDevice => ({
      firstPort,
      ports: BYTES,
      read: (offset) => this.#memory.readUInt32LE() >>> (8 * offset),
      write: (offset, value, size) => {
        for (let byte = 0; byte < size; byte++) this.#memory[offset + byte] = value >>> (8 * byte);
      },
    });
    const lines = (set: NonNullable<typeof setLine>): PortDevice => ({
      firstPort: LINES.first,
      ports: LINES.count,
      read: () => 0,
      write: (line, value) => set(line, (value & 0xff) !== 0),
    });
    this.devices = [
      ...MEMORY.map(memory),
      { firstPort: FLUSH, ports: BYTES, read: () => 0, write: () => {} },
      ...(setLine === undefined ? [] : [lines(setLine)]),
    ];
  }

  capture(): TestDeviceState {
    return { memory: Uint8Array.from(this.#memory) };
  }
  reinstate({ memory }: TestDeviceState): void {
    this.#memory.set(memory);
  }
}
