/**
 * The two 8259A interrupt controllers of a PC (Intel 8259A data sheet, order number 231468): the second one's output leads to
 * input 2 of the first, and the first one's output (`intr`) to the processor. Fully nested and special fully nested mode,
 * automatic EOI, rotation, special mask and poll are there; buffered mode and the 8080's CALL are not, which no PC is wired for.
 */
import type { PortDevice } from './ports.js';

const CASCADE = 2;
/** What a request that has gone before it was acknowledged is answered with ("Interrupt sequence"). */
const SPURIOUS = 7;
const ICW1 = { icw4: 0x01, single: 0x02, level: 0x08, mark: 0x10 } as const;
const ICW4 = { autoEoi: 0x02, specialFullyNested: 0x10 } as const;
const OCW3 = {
  mark: 0x08,
  readIsr: 0x01,
  read: 0x02,
  poll: 0x04,
  specialMask: 0x20,
  setSpecialMask: 0x40,
} as const;
/** Bits 7..5 of OCW2: rotate, specific, end of interrupt. */
const OCW2 = { rotate: 0x80, specific: 0x40, eoi: 0x20, level: 0x07 } as const;
const POLL_FOUND = 0x80;

/** Which initialization command word comes next. */
type Awaiting = 'none' | 'icw2' | 'icw3' | 'icw4';

const POWER_UP = {
  irr: 0,
  isr: 0,
  imr: 0xff,
  /** The input pins. */
  lines: 0,
  /** Inputs that are level-triggered (the edge/level control registers, Intel 82371AB data sheet, 4.2.5). */
  levels: 0,
  allLevel: false,
  base: 0,
  /** The input of lowest priority. */
  lowest: 7,
  awaiting: 'none' as Awaiting,
  isSingle: false,
  needsIcw4: false,
  autoEoi: false,
  rotatesOnAutoEoi: false,
  specialFullyNested: false,
  specialMask: false,
  readsIsr: false,
  poll: false,
};
export type PicState = Readonly<typeof POWER_UP>;

/** One 8259A. */
class Pic {
  state = { ...POWER_UP };
  readonly #isMaster: boolean;

  constructor(isMaster: boolean) {
    this.#isMaster = isMaster;
  }

  /** An edge latches a request until it is acknowledged or the pin falls ("Edge and level triggered modes"). */
  setLine(line: number, level: boolean): void {
    const { state } = this;
    const bit = 1 << line;
    const rises = level && (state.lines & bit) === 0;
    state.lines = level ? state.lines | bit : state.lines & ~bit;
    if (!level) state.irr &= ~bit;
    else if (rises || this.#isLevel(bit)) state.irr |= bit;
  }

  #isLevel(bit: number): boolean {
    return this.state.allLevel || (this.state.levels & bit) !== 0;
  }

  /** How far an input is below the most urgent one; 8 for none. */
  #rank(bits: number): number {
    for (let rank = 0; rank < 8; rank++)
      if ((bits & (1 << ((this.state.lowest + 1 + rank) & 7))) !== 0) return rank;
    return 8;
  }
  #input(rank: number): number {
    return (this.state.lowest + 1 + rank) & 7;
  }

  /** The input to be acknowledged next, or -1. */
  get pending(): number {
    const { irr, imr, isr, specialMask, specialFullyNested } = this.state;
    const request = this.#rank(irr & ~imr);
    if (request === 8) return -1;
    let inService = specialMask ? isr & ~imr : isr;
    // The cascade input may come again while it is served: the other controller has found something more urgent.
    if (this.#isMaster && specialFullyNested) inService &= ~(1 << CASCADE);
    return request < this.#rank(inService) ? this.#input(request) : -1;
  }

  /** @returns the input that was acknowledged; `SPURIOUS` where there is none any more. */
  acknowledge(): number {
    const { state } = this;
    const input = this.pending;
    if (input < 0) return SPURIOUS;
    const bit = 1 << input;
    if (!this.#isLevel(bit)) state.irr &= ~bit;
    if (!state.autoEoi) state.isr |= bit;
    else if (state.rotatesOnAutoEoi) state.lowest = input;
    return input;
  }

  readCommand(): number {
    const { state } = this;
    if (!state.poll) return state.readsIsr ? state.isr : state.irr;
    state.poll = false;
    return this.pending < 0 ? 0 : POLL_FOUND | this.acknowledge();
  }

  writeCommand(value: number): void {
    const { state } = this;
    if ((value & ICW1.mark) !== 0) this.#initialize(value);
    else if ((value & OCW3.mark) === 0) this.#endOfInterrupt(value);
    else {
      state.poll = (value & OCW3.poll) !== 0;
      if ((value & OCW3.read) !== 0) state.readsIsr = (value & OCW3.readIsr) !== 0;
      if ((value & OCW3.setSpecialMask) !== 0) state.specialMask = (value & OCW3.specialMask) !== 0;
    }
  }

  #initialize(icw1: number): void {
    this.state = {
      ...POWER_UP,
      imr: 0,
      base: this.state.base,
      levels: this.state.levels,
      lines: this.state.lines,
      allLevel: (icw1 & ICW1.level) !== 0,
      isSingle: (icw1 & ICW1.single) !== 0,
      needsIcw4: (icw1 & ICW1.icw4) !== 0,
      awaiting: 'icw2',
    };
  }

  #endOfInterrupt(ocw2: number): void {
    const { state } = this;
    const named = ocw2 & OCW2.level;
    const rotate = (ocw2 & OCW2.rotate) !== 0;
    const specific = (ocw2 & OCW2.specific) !== 0;
    if ((ocw2 & OCW2.eoi) === 0) {
      if (rotate && specific) state.lowest = named;
      else if (!specific) state.rotatesOnAutoEoi = rotate;
      return;
    }
    const rank = this.#rank(state.isr);
    if (!specific && rank === 8) return;
    const ended = specific ? named : this.#input(rank);
    state.isr &= ~(1 << ended);
    if (rotate) state.lowest = ended;
  }

  readData(): number {
    return this.state.imr;
  }

  writeData(value: number): void {
    const { state } = this;
    switch (state.awaiting) {
      case 'none':
        state.imr = value;
        break;
      case 'icw2':
        state.base = value & 0xf8;
        state.awaiting = state.isSingle ? this.#afterIcw3 : 'icw3';
        break;
      case 'icw3': // how the two are wired is fixed
        state.awaiting = this.#afterIcw3;
        break;
      case 'icw4':
        state.autoEoi = (value & ICW4.autoEoi) !== 0;
        state.specialFullyNested = (value & ICW4.specialFullyNested) !== 0;
        state.awaiting = 'none';
    }
  }
  get #afterIcw3(): Awaiting {
    return this.state.needsIcw4 ? 'icw4' : 'none';
  }

  /** Level-triggered requests follow their pins. */
  setLevels(levels: number): void {
    const { state } = this;
    state.levels = levels;
    state.irr = (state.irr & ~levels) | (state.lines & levels);
  }
}

/** Inputs that can be level-triggered: not the timer, keyboard, cascade, clock and coprocessor ones. */
const LEVEL_CAPABLE = [0xf8, 0xde] as const;

export class Pics {
  readonly devices: readonly PortDevice[];
  readonly #master = new Pic(true);
  readonly #slave = new Pic(false);
  readonly #changed: () => void;

  /** @param changed called when `intr` may have changed */
  constructor(changed: () => void) {
    this.#changed = changed;
    this.devices = [
      this.#ports(0x20, this.#master),
      this.#ports(0xa0, this.#slave),
      this.#levelControl(0x4d0, [this.#master, this.#slave]),
    ];
  }

  #ports(firstPort: number, pic: Pic): PortDevice {
    return {
      firstPort,
      ports: 2,
      read: (offset) => {
        const value = offset === 0 ? pic.readCommand() : pic.readData();
        this.#settle(); // a poll acknowledges
        return value;
      },
      write: (offset, value) => {
        if (offset === 0) pic.writeCommand(value & 0xff);
        else pic.writeData(value & 0xff);
        this.#settle();
      },
    };
  }

  #levelControl(firstPort: number, pics: readonly Pic[]): PortDevice {
    return {
      firstPort,
      ports: 2,
      read: (offset) => pics[offset]!.state.levels,
      write: (offset, value) => {
        pics[offset]!.setLevels(value & LEVEL_CAPABLE[offset]!);
        this.#settle();
      },
    };
  }

  /** Inputs 0 to 15; 2 is taken. */
  setLine(line: number, level: boolean): void {
    if (line < 8) this.#master.setLine(line, level);
    else this.#slave.setLine(line - 8, level);
    this.#settle();
  }

  #settle(): void {
    this.#master.setLine(CASCADE, this.#slave.pending >= 0);
    this.#changed();
  }

  /** Whether the processor is asked for an interrupt. */
  get intr(): boolean {
    return this.#master.pending >= 0;
  }

  /** Whether a rise of an input would reach the processor, as far as masks go. */
  isUnmasked(line: number): boolean {
    const bit = 1 << (line & 7);
    if (line < 8) return (this.#master.state.imr & bit) === 0;
    return (this.#slave.state.imr & bit) === 0 && (this.#master.state.imr & (1 << CASCADE)) === 0;
  }

  /** The processor's acknowledge cycles. @returns the vector */
  acknowledge(): number {
    const input = this.#master.acknowledge();
    const isCascade = input === CASCADE && !this.#master.state.isSingle;
    const vector = isCascade
      ? this.#slave.state.base + this.#slave.acknowledge()
      : this.#master.state.base + input;
    this.#settle();
    return vector;
  }

  capture(): readonly PicState[] {
    return [{ ...this.#master.state }, { ...this.#slave.state }];
  }
  reinstate([master, slave]: readonly PicState[]): void {
    this.#master.state = { ...master! };
    this.#slave.state = { ...slave! };
  }
}
