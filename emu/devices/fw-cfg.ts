/**
 * QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg), by which guests ask what their machine is made of: a 16-bit selector at port
 * 0x510 and the bytes of the item selected, one after the other, at 0x511. Its DMA interface is not there, and item 1 says so.
 */
import type { MemoryRange } from '../boot/placement.js';
import { FLOATING, type PortDevice } from './ports.js';

const FIRST_PORT = 0x510;
export const FW_CFG_PORTS = { first: FIRST_PORT, count: 2 } as const;
const KEY = {
  signature: 0x00,
  id: 0x01,
  ramSize: 0x03,
  noGraphic: 0x04,
  cpus: 0x05,
  maxCpus: 0x0f,
  directory: 0x19,
  firstFile: 0x20,
} as const;
/** Item 1: the two ports are there, DMA (2) is not. */
const TRADITIONAL = 1;
/** Bit 14 asked for writing once. */
const WRITE_CHANNEL = 0x4000;
/** A directory entry: size and key, big-endian, and a name of 56 bytes. */
const ENTRY = { size: 64, key: 4, name: 8 } as const;
/** An entry of `etc/e820`, as the BIOS call of that name has it: address, length, type. */
const E820_ENTRY = 20;

/** What is told of the machine. */
export interface FwCfgFacts {
  /** Bytes. */
  readonly ram: number;
  readonly cpus: number;
  readonly memoryMap: readonly MemoryRange[];
}

export interface FwCfgState {
  readonly selected: number;
  readonly offset: number;
}

function number(value: number, bytes: 2 | 4 | 8): Buffer {
  const item = Buffer.alloc(8);
  item.writeBigUInt64LE(BigInt(value));
  return item.subarray(0, bytes);
}

function e820(map: FwCfgFacts['memoryMap']): Buffer {
  const table = Buffer.alloc(E820_ENTRY * map.length);
  for (const [index, { start, end, type }] of map.entries()) {
    table.writeBigUInt64LE(BigInt(start), E820_ENTRY * index);
    table.writeBigUInt64LE(BigInt(end - start), E820_ENTRY * index + 8);
    table.writeUInt32LE(type, E820_ENTRY * index + 16);
  }
  return table;
}

function directory(files: readonly (readonly [name: string, bytes: Buffer])[]): Buffer {
  const bytes = Buffer.alloc(4 + ENTRY.size * files.length);
  bytes.writeUInt32BE(files.length);
  for (const [index, [name, file]] of files.entries()) {
    const at = 4 + ENTRY.size * index;
    bytes.writeUInt32BE(file.length, at);
    bytes.writeUInt16BE(KEY.firstFile + index, at + ENTRY.key);
    bytes.write(name, at + ENTRY.name, 'latin1');
  }
  return bytes;
}

export class FwCfg implements PortDevice {
  readonly devices: readonly PortDevice[] = [this];
  readonly firstPort = FW_CFG_PORTS.first;
  readonly ports = FW_CFG_PORTS.count;
  readonly #items: ReadonlyMap<number, Buffer>;
  #selected: number = KEY.signature;
  #offset = 0;

  constructor({ ram, cpus, memoryMap }: FwCfgFacts) {
    const files = [['etc/e820', e820(memoryMap)]] as const;
    this.#items = new Map([
      [KEY.signature, Buffer.from('QEMU')],
      [KEY.id, number(TRADITIONAL, 4)],
      [KEY.ramSize, number(ram, 8)],
      [KEY.noGraphic, number(1, 2)],
      [KEY.cpus, number(cpus, 2)],
      [KEY.maxCpus, number(cpus, 2)],
      [KEY.directory, directory(files)],
      ...files.map(([, bytes], index) => [KEY.firstFile + index, bytes] as const),
    ]);
  }

  /** Zero behind an item's end, and where there is none. */
  read(_offset: number, size: number): number {
    if (size !== 1) return FLOATING;
    const byte = this.#items.get(this.#selected)?.[this.#offset] ?? 0;
    this.#offset++;
    return byte;
  }

  /** Items cannot be written. */
  write(offset: number, value: number, size: number): void {
    if (offset !== 0 || size !== 2) return;
    this.#selected = value & 0xffff & ~WRITE_CHANNEL;
    this.#offset = 0;
  }

  capture(): FwCfgState {
    return { selected: this.#selected, offset: this.#offset };
  }
  reinstate({ selected, offset }: FwCfgState): void {
    this.#selected = selected;
    this.#offset = offset;
  }
}
