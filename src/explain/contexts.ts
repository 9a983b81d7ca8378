/** Which way into the kernel a CPU is in, kept from its events and its returns. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import type { Context, ContextKind } from './story.js';

const USER_CPL = 3;
const RETURNS = /^(iret|sysret|sysexit)/;

/** What a CPU is doing as far as its kernel can tell, where its way in was not seen. */
export type GuessEntry = (cpu: Vcpu) => { readonly kind: ContextKind; readonly label: string } | undefined;

const USER = { kind: 'user', label: 'user' } as const;
const KERNEL = { kind: 'kernel', label: 'kernel' } as const;
const NMI = { kind: 'nmi', label: 'NMI' } as const;

export class Contexts {
  readonly all: Context[] = [];
  /** The innermost of each CPU that has been seen. */
  readonly #innermost = new Map<number, number>();
  readonly #guess: GuessEntry;

  constructor(guess: GuessEntry) {
    this.#guess = guess;
  }

  /** Index of the context that a CPU is in. */
  of(cpu: Vcpu): number {
    return this.#innermost.get(cpu.index) ?? this.begin(cpu);
  }

  /** Takes what is known about a CPU from its state alone: at the beginning, and when it has gone on with another task. */
  begin(cpu: Vcpu): number {
    this.#innermost.delete(cpu.index);
    if (cpu.state.cpl !== USER_CPL) {
      const entry = this.#guess(cpu);
      if (entry !== undefined) {
        this.#push(cpu, USER);
        this.#push(cpu, entry);
      } else if (!cpu.state.nmiBlocked) this.#push(cpu, KERNEL);
      if (cpu.state.nmiBlocked) this.#push(cpu, NMI);
    } else this.#push(cpu, USER);
    return this.#innermost.get(cpu.index)!;
  }

  /** An event has been delivered. */
  enter(cpu: Vcpu, kind: ContextKind, label: string): number {
    this.of(cpu);
    return this.#push(cpu, { kind, label });
  }

  /** The CPU has executed an instruction, which may be a way out. */
  executed(cpu: Vcpu, mnemonic: string): void {
    if (!RETURNS.test(mnemonic)) return;
    const { parent } = this.all[this.of(cpu)]!;
    const toUser = cpu.state.cpl === USER_CPL;
    if (parent !== undefined && (this.all[parent]!.kind === 'user') === toUser)
      this.#innermost.set(cpu.index, parent);
    else if (toUser) this.begin(cpu);
  }

  #push({ index }: Vcpu, entry: { readonly kind: ContextKind; readonly label: string }): number {
    this.all.push({ cpu: index, ...entry, parent: this.#innermost.get(index) });
    this.#innermost.set(index, this.all.length - 1);
    return this.all.length - 1;
  }
}
