/**
 * A second implementation of what a litmus test means, for a few instructions: memory is a map, a run a sequence of small
 * functions, and all runs are made by plain recursion with copies. It shares no code with src/litmus or src/explore.
 */
export const VARIABLES = ['x', 'y'] as const;
export const REGISTERS = ['rax', 'rbx', 'rcx'] as const;
type Variable = (typeof VARIABLES)[number];
type Register = (typeof REGISTERS)[number];

export type Op =
  | { readonly op: 'store'; readonly to: Variable; readonly value: number }
  | { readonly op: 'load'; readonly from: Variable; readonly into: Register }
  | { readonly op: 'put'; readonly from: Register; readonly to: Variable }
  | {
      readonly op: 'xchg' | 'add' | 'xadd' | 'cmpxchg';
      readonly register: Register;
      readonly with: Variable;
      readonly lock: boolean;
    };

export const textOf = (op: Op): string => {
  switch (op.op) {
    case 'store':
      return `movq $${op.value}, ${op.to}`;
    case 'load':
      return `mov ${op.from}, %${op.into}`;
    case 'put':
      return `mov %${op.from}, ${op.to}`;
    default:
      return `${op.lock ? 'lock ' : ''}${op.op} %${op.register}, ${op.with}`;
  }
};

interface State {
  memory: Record<string, number>;
  /** By CPU. */
  registers: Record<string, number>[];
}
type Micro = (state: State, cpu: number) => void;

const LOADED = 'loaded';

/** The steps of an instruction; between two of one instruction only other CPUs come in. */
function microSteps(op: Op, split: boolean): Micro[] {
  switch (op.op) {
    case 'store':
      return [({ memory }) => (memory[op.to] = op.value)];
    case 'load':
      return [({ memory, registers }, cpu) => (registers[cpu]![op.into] = memory[op.from]!)];
    case 'put':
      return [({ memory, registers }, cpu) => (memory[op.to] = registers[cpu]![op.from]!)];
  }
  const load: Micro = ({ memory, registers }, cpu) => (registers[cpu]![LOADED] = memory[op.with]!);
  const finish: Micro = ({ memory, registers }, cpu) => {
    const file = registers[cpu]!;
    const old = file[LOADED]!;
    const operand = file[op.register]!;
    const after = {
      xchg: operand,
      add: old + operand,
      xadd: old + operand,
      cmpxchg: file['rax'] === old ? operand : old,
    };
    memory[op.with] = after[op.op];
    if (op.op === 'xchg' || op.op === 'xadd') file[op.register] = old;
    if (op.op === 'cmpxchg') file['rax'] = old;
  };
  const whole: Micro = (state, cpu) => {
    load(state, cpu);
    finish(state, cpu);
  };
  return split && !op.lock && op.op !== 'xchg' ? [load, finish] : [whole];
}

interface Program {
  readonly columns: readonly (readonly Op[])[];
  /** Handler of an NMI that strikes CPU 0 once. */
  readonly nmi?: readonly Op[];
}

/** Runs by final state, `0:rax=… 0:rbx=… … x=… y=…`. */
export function allRuns({ columns, nmi }: Program): Map<string, bigint> {
  const split = columns.length > 1;
  const flat = columns.map((column) => column.map((op) => microSteps(op, split)));
  const handler = nmi && [...nmi.flatMap((op) => microSteps(op, split)), () => {}];
  const found = new Map<string, bigint>();
  /** What CPU 0 still has to do, with and without the NMI put in at each boundary. */
  const sequences = (column: Micro[][], cpu: number): Micro[][] => {
    if (cpu !== 0 || handler === undefined) return [column.flat()];
    return Array.from({ length: column.length + 1 }, (_, at) => [
      ...column.slice(0, at).flat(),
      ...handler,
      ...column.slice(at).flat(),
    ]);
  };
  const go = (left: Micro[][], state: State): void => {
    if (left.every((steps) => steps.length === 0)) {
      const registers = state.registers.flatMap((file, cpu) =>
        REGISTERS.map((register) => `${cpu}:${register}=${file[register]}`),
      );
      const name = [
        ...registers,
        ...VARIABLES.map((variable) => `${variable}=${state.memory[variable]}`),
      ].join(' ');
      found.set(name, (found.get(name) ?? 0n) + 1n);
      return;
    }
    for (const [cpu, steps] of left.entries()) {
      if (steps.length === 0) continue;
      const next = structuredClone(state);
      steps[0]!(next, cpu);
      go(
        left.map((rest, index) => (index === cpu ? rest.slice(1) : rest)),
        next,
      );
    }
  };
  const registers = flat.map((_, cpu) => initialRegisters(cpu));
  for (const first of sequences(flat[0]!, 0)) {
    const rest = flat.slice(1).map((column) => column.flat());
    go([first, ...rest], structuredClone({ memory: { x: 1, y: 2 }, registers }));
  }
  return found;
}

export const initialRegisters = (cpu: number): Record<string, number> => ({
  rax: 1,
  rbx: cpu + 10,
  rcx: cpu + 20,
});
