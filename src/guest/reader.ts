import type { KernelAddr, PhysAddr, UserAddr } from '../../emu/memory/address.js';

/** Memory of a stopped guest. Both return a copy, or undefined where a byte of the range is not mapped. */
export interface GuestReader {
  /** The kernel's half of the address space, which is the same in all processes. */
  readKernel(address: KernelAddr, length: number): Uint8Array | undefined;
  /** @param cr3 physical address of the page tables that the user address belongs to */
  readUser(cr3: PhysAddr, address: UserAddr, length: number): Uint8Array | undefined;
}

/** Names of the kernel image; `SymbolTable` of emu/boot is one. */
export interface GuestSymbols {
  /** Where a symbol lies. */
  lookup(name: string): bigint | undefined;
  /** The value of an absolute symbol. */
  constant(name: string): bigint | undefined;
}

/** The image is not a kernel of this project, or the guest's memory does not hold what it should. */
export class GuestError extends Error {
  override name = 'GuestError';
}
