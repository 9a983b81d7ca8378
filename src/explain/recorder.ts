/** Runs a machine step by step and writes down what each step did. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR, GPR_NAMES } from '../../emu/engine/cpu-state.js';
import type { MachineEvent } from '../../emu/events.js';
import type { Machine, Outcome } from '../../emu/machine.js';
import { applyChoice } from '../schedule/apply.js';
import { type Choice, formatChoice } from '../schedule/schedule.js';
import type { Monitor } from '../sweep/monitor.js';
import type { CodeReader } from './code-reader.js';
import { Contexts } from './contexts.js';
import type { StateReader } from './state-reader.js';
import type { Action, Broken, Change, Field, Note, Step, Task, TaskChange } from './story.js';

export interface RecorderParts {
  readonly machine: Machine;
  readonly code: CodeReader;
  /** Of a kernel that can tell its state. */
  readonly kernel: StateReader | undefined;
  /** What watches the run for rules that it breaks. */
  readonly monitor: Monitor | undefined;
  /** Names of exceptions by vector, such as `#PF`. */
  readonly exceptionName: (vector: number) => string;
}

/** A task that has been seen, with its fields as they were last. */
interface KnownTask {
  readonly address: bigint;
  readonly index: number;
  fields: readonly Field[];
}

/** Where a step begins. */
interface Place extends Pick<Step, 'at' | 'context' | 'task'> {
  readonly owner: Vcpu;
}

export class Recorder {
  readonly steps: Step[] = [];
  readonly tasks: Task[] = [];
  readonly broken: Broken[] = [];
  readonly contexts: Contexts;
  readonly #parts: RecorderParts;
  readonly #machine: Machine;
  readonly #known: KnownTask[] = [];
  /** Which task each CPU runs. */
  readonly #running = new Map<number, number | undefined>();
  readonly #registers = new Map<number, readonly string[]>();
  readonly #unsubscribe: readonly (() => void)[];
  #events: MachineEvent[] = [];
  #violations = 0;
  #telling = true;

  constructor(parts: RecorderParts) {
    this.#parts = parts;
    this.#machine = parts.machine;
    this.contexts = new Contexts((cpu) => parts.kernel?.entryOf(cpu));
    const note = (event: MachineEvent): void => void this.#events.push(event);
    const { events } = parts.machine;
    this.#unsubscribe = [
      events.on('exception', (event) => {
        note(event);
        if (this.#telling) this.#machine.stop(); // behind the delivery, before the handler
      }),
      ...(['interrupt', 'nmi', 'syscall', 'halt', 'ipi', 'start'] as const).map((kind) =>
        events.on(kind, note),
      ),
    ];
  }

  /** Ends the recording; the machine runs on as before. */
  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  /** Carries out a choice other than to run on. */
  choose(choice: Exclude<Choice, { kind: 'run' | 'cpu' }>, sentence: string): Outcome | undefined {
    const cpu = this.#machine.cpus['cpu' in choice ? choice.cpu : this.#machine.inTurn]!;
    if (choice.kind === 'deliver') return this.#deliver(cpu);
    const before = this.#place(cpu);
    const outcome = applyChoice(this.#machine, choice);
    this.#add(before, { kind: 'choice', choice: formatChoice(choice) }, [{ kind: 'choice', text: sentence }]);
    return outcome;
  }

  /** Runs on by so many instructions, told one by one. @returns an outcome when the guest has ended. */
  tell(choice: Extract<Choice, { kind: 'run' | 'cpu' }>, count: number): Outcome | undefined {
    if (choice.kind === 'cpu') {
      for (let step = 0; step < count; step++) {
        const outcome = this.#instruction(this.#machine.cpus[choice.cpu]!, () =>
          this.#machine.step(choice.cpu),
        );
        if (outcome !== undefined) return outcome;
      }
      return undefined;
    }
    const end = this.#machine.retired + count;
    while (this.#machine.retired < end) {
      const idle = this.#machine.run({ budget: 0 });
      if (idle.kind !== 'budget') return idle;
      const cpu = this.#machine.cpus[this.#machine.inTurn]!;
      const outcome = this.#instruction(cpu, () => this.#machine.run({ budget: 1 }));
      if (outcome !== undefined) return outcome;
    }
    return undefined;
  }

  /** Runs on by so many instructions of which nothing is told but what has changed in the end. */
  skip(choice: Extract<Choice, { kind: 'run' | 'cpu' }>, count: number): Outcome | undefined {
    if (count === 0) return undefined;
    const before = this.#place(
      this.#machine.cpus[choice.kind === 'cpu' ? choice.cpu : this.#machine.inTurn]!,
    );
    this.#telling = false;
    const outcome = applyChoice(this.#machine, { ...choice, count });
    this.#telling = true;
    this.#events = [];
    this.#registers.clear();
    for (const cpu of this.#machine.cpus) this.contexts.begin(cpu);
    this.#add(before, { kind: 'skip', count }, []);
    return outcome;
  }

  /** The next instruction of a CPU, behind what is delivered before it. */
  #instruction(cpu: Vcpu, execute: () => Outcome | undefined): Outcome | undefined {
    if (cpu.takesEvent) {
      const outcome = this.#deliver(cpu);
      if (outcome !== undefined) return outcome;
    }
    const { code, kernel } = this.#parts;
    const before = this.#place(cpu);
    const asleep = cpu.activity !== 'running';
    const index = code.read(cpu);
    const mnemonic = code.code[index]!.text.split(' ')[0]!;
    const notes = [...(kernel?.before(cpu) ?? [])];
    const outcome = execute();
    if (asleep) return this.#ended(outcome);
    const faulted = this.#events.some(({ kind }) => kind === 'exception');
    if (!faulted) {
      this.contexts.executed(cpu, mnemonic);
      notes.push(...(kernel?.after(cpu, mnemonic) ?? []));
    }
    notes.push(...this.#signals(cpu));
    this.#add(before, { kind: 'instruction', code: index }, notes, faulted);
    this.#enterAll(cpu);
    return this.#ended(outcome);
  }

  #deliver(cpu: Vcpu): Outcome | undefined {
    const outcome = this.#machine.deliver(cpu.index);
    this.#enterAll(cpu);
    return outcome;
  }

  /** A run that a listener or the budget of one instruction has ended goes on. */
  #ended(outcome: Outcome | undefined): Outcome | undefined {
    return outcome?.kind === 'budget' || outcome?.kind === 'stopped' ? undefined : outcome;
  }

  /** Enters what has been delivered since the last step. */
  #enterAll(cpu: Vcpu): void {
    const events = this.#events;
    this.#events = [];
    for (const event of events) {
      const name = this.#machine.symbols.resolve(cpu.state.rip)?.name;
      const by = name === undefined ? '' : ` (${name})`;
      if (event.kind === 'syscall') {
        const { label } = this.#parts.kernel?.syscall(event.number) ?? {
          label: `system call ${event.number}`,
        };
        this.contexts.enter(cpu, 'syscall', label);
        continue;
      }
      if (event.kind === 'nmi') this.contexts.enter(cpu, 'nmi', 'NMI');
      else if (event.kind === 'interrupt')
        this.contexts.enter(cpu, 'interrupt', `IRQ 0x${event.vector.toString(16)}${by}`);
      else if (event.kind === 'exception')
        this.contexts.enter(cpu, 'exception', `${this.#parts.exceptionName(event.vector)}${by}`);
      else continue;
      this.#add(this.#place(cpu), { kind: 'entry' }, []);
    }
  }

  /** What the instruction has sent to others. */
  #signals(cpu: Vcpu): Note[] {
    return this.#events.flatMap((event): Note[] => {
      if (event.kind === 'halt') return [{ kind: 'signal', text: `CPU ${cpu.index} halts` }];
      if (event.kind === 'start') return [{ kind: 'signal', text: `CPU ${event.cpu} starts` }];
      if (event.kind !== 'ipi') return [];
      const what =
        event.mode === 'fixed' ? `interrupt 0x${event.vector.toString(16)}` : event.mode.toUpperCase();
      return [{ kind: 'signal', text: `CPU ${cpu.index} sends ${what}` }];
    });
  }

  /** Where a step begins, and the registers that it may change. */
  #place(cpu: Vcpu): Place {
    if (!this.#registers.has(cpu.index)) this.#registers.set(cpu.index, registersOf(cpu));
    if (!this.#running.has(cpu.index)) this.#running.set(cpu.index, this.#taskOf(cpu));
    return {
      owner: cpu,
      at: this.#machine.retired,
      context: this.contexts.of(cpu),
      task: this.#running.get(cpu.index),
    };
  }

  /** @param withoutRegisters leaves the change of registers to the step that follows. */
  #add({ owner, ...place }: Place, action: Action, notes: readonly Note[], withoutRegisters = false): void {
    const step: Step = {
      ...place,
      cpu: owner.index,
      action,
      registers: withoutRegisters ? [] : this.#registerChanges(owner),
      state: this.#stateChanges(owner),
      notes: [...notes, ...this.#switches(), ...this.#newViolations()],
    };
    this.steps.push(step);
  }

  #registerChanges(cpu: Vcpu): Change[] {
    const after = registersOf(cpu);
    const before = this.#registers.get(cpu.index) ?? after;
    this.#registers.set(cpu.index, after);
    return REGISTERS.flatMap((name, index) =>
      before[index] === after[index] ? [] : [{ name, before: before[index]!, after: after[index]! }],
    );
  }

  /** Of every task that has been seen. */
  #stateChanges(cpu: Vcpu): TaskChange[] {
    return this.#known.flatMap((task) => {
      const fields = this.#parts.kernel?.fieldsOf(cpu, task.address) ?? task.fields;
      const changes = fields.flatMap(({ name, value }, index): TaskChange[] => {
        const before = task.fields[index]?.value ?? 'none';
        return before === value ? [] : [{ task: task.index, name, before, after: value }];
      });
      task.fields = fields;
      return changes;
    });
  }

  /** CPUs that have gone on with another task. */
  #switches(): Note[] {
    return this.#machine.cpus.flatMap((cpu): Note[] => {
      if (!this.#running.has(cpu.index)) return [];
      const before = this.#running.get(cpu.index);
      const task = this.#taskOf(cpu);
      if (task === before) return [];
      this.#running.set(cpu.index, task);
      this.contexts.begin(cpu);
      if (task === undefined || before === undefined) return [];
      return [{ kind: 'task', text: `CPU ${cpu.index} goes on with ${this.tasks[task]!.name}` }];
    });
  }

  #taskOf(cpu: Vcpu): number | undefined {
    const current = this.#parts.kernel?.taskOf(cpu);
    if (current === undefined) return undefined;
    const { address, name } = current;
    const known = this.#known.find((task) => task.address === address);
    if (known !== undefined) return known.index;
    const fields = this.#parts.kernel?.fieldsOf(cpu, address) ?? [];
    const index = this.tasks.length;
    this.#known.push({ address, index, fields });
    this.tasks.push({ name, fields });
    return index;
  }

  #newViolations(): Note[] {
    const violations = this.#parts.monitor?.violations.slice(this.#violations) ?? [];
    this.#violations += violations.length;
    return violations.map(({ id, sentence }): Note => {
      this.broken.push({ id, sentence: `${sentence}.`, step: this.steps.length });
      return { kind: 'violation', text: `${id}: ${sentence}` };
    });
  }
}

const REGISTERS = [...GPR_NAMES, 'rflags'] as const;

const registersOf = ({ state }: Vcpu): readonly string[] => [
  ...GPR_NAMES.map((name) => state.reg(GPR[name]).toString(16)),
  state.rflags.toString(16),
];
