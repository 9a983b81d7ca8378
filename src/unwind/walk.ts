import type { UserAddr } from '../../emu/memory/address.js';

/** What the walk starts from: the registers that the kernel's entry saved, and what kind of task they belong to. */
export interface WalkRegs {
  readonly ip: bigint;
  readonly sp: bigint;
  readonly fp: bigint;
  /** Whether the saved CS has privilege level 3. */
  readonly userMode: boolean;
  readonly kthread?: boolean;
  /** Bytes of a stack word: 8 for 64-bit code, 4 for 32-bit code, 0 where neither holds (virtual 8086 mode). */
  readonly wordSize: 8 | 4 | 0;
}

/**
 * Reads one word of user memory, zero-extended; undefined where it cannot be read.
 * It is asked only for addresses that a user may have, so a plain look through the page tables will do.
 */
export type ReadWord = (address: UserAddr, size: 8 | 4) => bigint | undefined;

export interface WalkLimits {
  /** How many addresses may be recorded at most. */
  readonly max: number;
}

/**
 * Why a walk ended, in the order in which the kernel asks:
 * - `no-room`: `max` is 0, the kernel's -EINVAL.
 * - `kernel-thread`, `not-user`, `no-word-size`: there is no user stack; no entry is recorded.
 * - `limit`: `max` entries are recorded.
 * - `fp-below-sp`: the frame pointer points below the frame. A whole chain ends so too, with a frame pointer of 0.
 * - `cfa-not-above-sp`: the frame ends at or below its begin; only wrap-around does that.
 * - `misaligned`: the end of the frame is not a multiple of the word size.
 * - `return-address-unreadable`, `frame-pointer-unreadable`: no such user memory.
 */
export type EndReason =
  | 'no-room'
  | 'kernel-thread'
  | 'not-user'
  | 'no-word-size'
  | 'limit'
  | 'fp-below-sp'
  | 'cfa-not-above-sp'
  | 'misaligned'
  | 'return-address-unreadable'
  | 'frame-pointer-unreadable';

export interface Walk {
  /** Innermost first; the first one is the user's ip. Return addresses are recorded as they are, 0 and garbage too. */
  readonly entries: readonly UserAddr[];
  readonly end: EndReason;
}

/** Entries that one cache page of version v13-06 holds: (4096 - 8) / 8. */
export const UNWIND_MAX_ENTRIES = 511;

/** The first address that no user page may have (Linux: TASK_SIZE_MAX with four-level paging). */
const USER_END = 0x7fff_ffff_f000n;

/**
 * Walks a user stack by frame pointers as the kernel does (Linux: kernel/unwind/user.c, unwind_user() and
 * unwind_user_next_common()).
 *
 * A frame, seen from its end, the CFA: the return address is one word below it, the caller's frame pointer two. The
 * frame pointer points at the latter, so CFA = fp + 2 words, modulo 2^64. The caller's stack pointer is the CFA, which
 * grows at every step, so the walk ends without counting; `max` only bounds its length.
 *
 * Never throws unless `readWord` does.
 */
export function walkFramePointers(
  regs: WalkRegs,
  readWord: ReadWord,
  { max }: WalkLimits = { max: UNWIND_MAX_ENTRIES },
): Walk {
  const entries: UserAddr[] = [];
  const ended = (end: EndReason): Walk => ({ entries, end });
  const { wordSize } = regs;
  if (max <= 0) return ended('no-room');
  if (regs.kthread) return ended('kernel-thread');
  if (!regs.userMode) return ended('not-user');
  if (wordSize === 0) return ended('no-word-size');

  const word = BigInt(wordSize);
  const read = (address: bigint) =>
    address <= USER_END - word ? readWord(address as UserAddr, wordSize) : undefined;

  let { ip, sp, fp } = regs;
  for (;;) {
    entries.push(ip as UserAddr);
    if (entries.length >= max) return ended('limit');
    if (fp < sp) return ended('fp-below-sp');
    const cfa = BigInt.asUintN(64, fp + 2n * word);
    if (cfa <= sp) return ended('cfa-not-above-sp');
    if (cfa % word !== 0n) return ended('misaligned');
    const returnAddress = read(cfa - word);
    if (returnAddress === undefined) return ended('return-address-unreadable');
    const savedFp = read(cfa - 2n * word);
    if (savedFp === undefined) return ended('frame-pointer-unreadable');
    ip = returnAddress;
    sp = cfa;
    fp = savedFp;
  }
}
