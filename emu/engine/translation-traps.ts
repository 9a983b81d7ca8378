/**
 * Traps on instructions that the engine executes by itself and offers no hook for: RDMSR, WRMSR, RDTSC, RDPMC; MOV to and from CR8, which
 * is the local APIC's, and debug registers, whose breakpoints take the process down; SYSENTER and SYSEXIT, which it passes over.
 *
 * The idea: a block of guest code is translated once and run many times, so a trap that is laid at translation costs
 * nothing afterwards. The reality: the engine tells of each new block after translating and before running it. If the block's
 * bytes hold one of the opcodes (all of the form 0F xx), the second byte is turned into that of UD2 (0F 0B), the
 * block is thrown away and translated again, and the byte is put back at once. The guest never sees the change;
 * the translation raises #UD there, and the machine looks at the true bytes and carries the instruction out.
 *
 * The bytes of an opcode can also stand inside another instruction (an immediate, a displacement). A block always ends
 * behind UD2, so the length of the second translation tells: it ends two bytes behind the trap, or the match was false. Where
 * the first translation ended there too, a second probe with HLT (one byte) decides. MOV of CR8 begins with the prefix that makes it so; whether that is
 * one, or the end of what comes before a MOV of another control register, is probed first, with HLT in its place.
 *
 * #UD ends a run, which costs as much as a thousand instructions. So instructions that only read something (RDTSC, RDMSR, RDPMC) become
 * CPUID (0F A2) once they are confirmed: for that the engine has a hook, and the block goes on behind it.
 */
import { PAGE_SIZE } from './host-memory.js';
import { HFLAG } from './layout.js';
import { PlainBlocks } from './plain-blocks.js';

const OPCODE_ESCAPE = 0x0f;
/** WRMSR, RDTSC, RDMSR, RDPMC, SYSENTER, SYSEXIT; MOV from and to DR (SDM 2, appendix A, table A-3). */
const isTrappedOpcode = (second: number): boolean =>
  (second >= 0x30 && second <= 0x35) || second === 0x21 || second === 0x23;
/** MOV from and to a control register; in 64-bit mode CR8 alone has REX.R before it (SDM 2B, "MOV—Move to/from Control Registers"). */
const isControlMove = (second: number): boolean => second === 0x20 || second === 0x22;
const isRexR = (byte: number): boolean => (byte & 0xf4) === 0x44;
/** RDTSC, RDMSR, RDPMC have no effect but on registers. */
const isReading = (second: number): boolean => second >= 0x31 && second <= 0x33;
const RDMSR_SECOND = 0x32;
const UD2_SECOND = 0x0b;
const CPUID_SECOND = 0xa2;
const AMBIGUOUS = -1;
const HLT = 0xf4;

/** A freshly translated block: guest virtual address, bytes, instructions. */
export interface Block {
  readonly pc: bigint;
  readonly size: number;
  readonly instructions: number;
}

export interface TrapHost {
  /** Guest RAM. */
  readonly ram: Buffer;
  /** Physical address of a code byte in the address space that is running, or -1 where it is not RAM. */
  physicalOf(address: bigint): number;
  /** How the code that is running is decoded: hflags, as far as they tell. */
  mode(): number;
  /** Throws the block away and has it translated again before it runs. */
  retranslate(block: Block): void;
  /** A run can end right behind any instruction, so that one which was to fault has done nothing but run out. */
  readonly endsAnywhere: boolean;
}

/** A byte of guest code that is another while a block is translated. */
interface Change {
  readonly physical: number;
  readonly original: number;
}

interface Probe extends Change {
  readonly block: Block;
  /** Distance of the suspected opcode from the block's start. */
  readonly offset: number;
  /** It is the prefix before the opcode that is probed. */
  readonly isPrefix: boolean;
  /** Where the block must end if the suspicion is right, from its start. */
  readonly expectedEnd: number;
  readonly last: boolean;
}

const isOnOnePage = ({ pc, size }: Block): boolean => Number(pc & BigInt(PAGE_SIZE - 1)) + size <= PAGE_SIZE;

export class TranslationTraps {
  readonly #host: TrapHost;
  #probe: Probe | undefined;
  /** Confirmed opcodes of the block, which are CPUID until it is translated for good. */
  #laid: Change[] = [];
  /** The block whose last opcode has just become CPUID; its next translation may hold more. */
  #extended: { readonly pc: bigint; readonly offset: number } | undefined;
  /** Start of a block that holds only false matches; its next translation is taken as it is. */
  #clean: bigint | undefined;
  /**
   * What has become CPUID, by the address of its opcode: the second byte. AMBIGUOUS where two of these, or one and what may be CPUID
   * itself, have been translated at one virtual address.
   */
  readonly #readings = new Map<bigint, number>();
  readonly #plain: PlainBlocks;

  constructor(host: TrapHost) {
    this.#host = host;
    this.#plain = new PlainBlocks(host.ram);
  }

  /**
   * What the CPUID that executes at an address truly is: the second byte of RDTSC, RDMSR or RDPMC; undefined: nobody knows
   * without a look at the code.
   */
  readingAt(address: bigint): number | undefined {
    const second = this.#readings.get(address);
    return second === AMBIGUOUS ? undefined : second;
  }

  #noteReading(address: bigint, second: number): void {
    const before = this.#readings.get(address);
    this.#readings.set(address, before === undefined || before === second ? second : AMBIGUOUS);
  }

  /** To be called for each new block before it runs. */
  translated(block: Block): void {
    const probe = this.#probe;
    if (probe?.block.pc === block.pc) this.#probed(block, probe);
    else if (this.#extended?.pc === block.pc) {
      const { offset } = this.#extended;
      this.#extended = undefined;
      this.#suspect(block, offset, false);
    } else if (this.#clean === block.pc) {
      if (this.#laid.length === 0 && isOnOnePage(block))
        this.#plain.note(this.#host.physicalOf(block.pc), block.size, this.#host.mode());
      this.#accept();
    } else this.#suspect(block, 0, false);
  }

  #probed(block: Block, probe: Probe): void {
    const { ram } = this.#host;
    ram[probe.physical] = probe.original;
    this.#probe = undefined;
    const confirmed = block.size === probe.expectedEnd;
    const isHalt = probe.expectedEnd === probe.offset + 1;
    if (!confirmed) this.#suspect(probe.block, probe.offset + 1, true);
    else if (probe.isPrefix) this.#lay(probe.block, probe.offset, UD2_SECOND, 1, true);
    // The first translation ended at the same place: ask again with an instruction of another length.
    else if (!probe.last) this.#lay(probe.block, probe.offset, HLT, 0, true);
    else if (this.#becomesCpuid(this.#secondOf(probe))) this.#makeCpuid(probe);
    else if (isHalt) this.#lay(probe.block, probe.offset, UD2_SECOND, 1, true);
    else this.#accept();
  }

  /** Where the block would go on behind a refused RDMSR, it stays a trap: kernels ask for registers that are not there. */
  #becomesCpuid(second: number): boolean {
    return isReading(second) && (second !== RDMSR_SECOND || this.#host.endsAnywhere);
  }

  /** The true second byte of an opcode that is no longer probed. */
  #secondOf({ block, offset }: Pick<Probe, 'block' | 'offset'>): number {
    return this.#host.ram[this.#host.physicalOf(block.pc + BigInt(offset + 1))]!;
  }

  #makeCpuid({ block, offset }: Probe): void {
    const { ram } = this.#host;
    const physical = this.#host.physicalOf(block.pc + BigInt(offset + 1));
    this.#laid.push({ physical, original: ram[physical]! });
    this.#noteReading(block.pc + BigInt(offset), ram[physical]!);
    ram[physical] = CPUID_SECOND;
    this.#extended = { pc: block.pc, offset: offset + 2 };
    this.#host.retranslate(block);
  }

  /** The block runs as it has just been translated. */
  #accept(): void {
    this.#clean = undefined;
    for (const { physical, original } of this.#laid) this.#host.ram[physical] = original;
    this.#laid.length = 0;
  }

  /** The run ends before the block is translated again: the bytes become true, and the next translation starts afresh. */
  abandon(): void {
    if (this.#probe !== undefined) this.#host.ram[this.#probe.physical] = this.#probe.original;
    this.#probe = undefined;
    this.#extended = undefined;
    this.#accept();
  }

  /** Looks for the next opcode from `offset` on and probes it; a block without one is run as it is. */
  #suspect(block: Block, offset: number, probed: boolean): void {
    const at = this.#find(block, offset);
    if (
      at >= 0 &&
      !probed &&
      this.#plain.has(this.#host.physicalOf(block.pc), block.size, this.#host.mode())
    ) {
      this.#accept();
    } else if (at >= 0 && isControlMove(this.#secondOf({ block, offset: at }))) {
      this.#lay(block, at, HLT, -1, true);
    } else if (at >= 0) {
      this.#lay(block, at, UD2_SECOND, 1, block.size !== at + 2);
    } else if (probed) {
      this.#clean = block.pc;
      this.#host.retranslate(block);
    } else this.#accept();
  }

  /** Distance of the next suspected opcode from the block's start, or -1. A block is looked at page by page. */
  #find(block: Block, offset: number): number {
    const { ram } = this.#host;
    const hasRex = (this.#host.mode() & HFLAG.CS64) !== 0;
    let previous = -1;
    let beforePrevious = -1;
    for (let at = offset; at < block.size; ) {
      const address = block.pc + BigInt(at);
      const end = Math.min(block.size, at + PAGE_SIZE - Number(address & BigInt(PAGE_SIZE - 1)));
      const physical = this.#host.physicalOf(address);
      for (let here = physical; at < end; at++, here++) {
        const byte = physical < 0 ? -1 : ram[here]!;
        if (previous === OPCODE_ESCAPE) {
          if (isTrappedOpcode(byte) || (hasRex && isRexR(beforePrevious) && isControlMove(byte)))
            return at - 1;
          if (byte === CPUID_SECOND) this.#noteReading(address + BigInt(here - physical - 1), AMBIGUOUS);
        }
        beforePrevious = previous;
        previous = byte;
      }
    }
    return -1;
  }

  #lay(block: Block, offset: number, byte: number, byteOffset: -1 | 0 | 1, last: boolean): void {
    const physical = this.#host.physicalOf(block.pc + BigInt(offset + byteOffset));
    const { ram } = this.#host;
    this.#probe = {
      block,
      offset,
      physical,
      original: ram[physical]!,
      isPrefix: byteOffset < 0,
      expectedEnd: offset + byteOffset + 1,
      last,
    };
    ram[physical] = byte;
    this.#host.retranslate(block);
  }
}
