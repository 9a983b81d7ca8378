/**
 * Kinds of addresses. A physical address is a number (RAM is far below 2^53); a virtual one is a bigint, since the
 * kernel lives in the upper half. The brands cost nothing at run time and keep the kinds from being mixed up.
 */
declare const kind: unique symbol;

/** Address on the physical bus. */
export type PhysAddr = number & { readonly [kind]: 'physical' };
/** Canonical virtual address in the upper half. */
export type KernelAddr = bigint & { readonly [kind]: 'kernel' };
/** Virtual address in the lower half; means something only together with an address space. */
export type UserAddr = bigint & { readonly [kind]: 'user' };
/** Virtual address of either half. */
export type VirtAddr = KernelAddr | UserAddr;

export const phys = (address: number): PhysAddr => address as PhysAddr;
export const virt = (address: bigint): VirtAddr => BigInt.asUintN(64, address) as VirtAddr;

/** Whether bits 63..47 are all equal (SDM 1, "Canonical Addressing", 3.3.7.1). */
export const isCanonical = (address: bigint): boolean =>
  BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
