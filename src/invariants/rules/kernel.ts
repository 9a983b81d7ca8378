/** What the kernel's own code relies on: its GS, its stacks, its lists; and that it does not complain. */

import type { Vcpu } from '../../../emu/cpu/vcpu.js';
import { GPR } from '../../../emu/engine/cpu-state.js';
import { userGsBase } from '../user-registers.js';
import type { EndSeen, Invariant, Seen } from './rule.js';

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const MSR_KERNEL_GS_BASE = 0xc000_0102;
const gsBase = ({ state }: Vcpu): bigint => state.segment('gs').base;

export const kernelGs: Invariant = {
  id: 'kernel-gs',
  point({ view, cpu, name }) {
    const expected = view.gsBase(cpu.index);
    if (gsBase(cpu) === expected) return undefined;
    return `expected GS base to be CPU ${cpu.index}'s ${hex(expected)} in ${name}, found ${hex(gsBase(cpu))}`;
  },
  user({ view, cpu, entry }) {
    const expected = view.gsBase(cpu.index);
    const kept = cpu.readEngineMsr(MSR_KERNEL_GS_BASE);
    if (kept !== expected)
      return `expected KERNEL_GS_BASE to keep CPU ${cpu.index}'s ${hex(expected)} in user mode, found ${hex(kept)}`;
    const own = entry.registers && userGsBase(entry.registers);
    if (own === undefined || own === gsBase(cpu)) return undefined;
    return `expected GS base to be task ${entry.pid}'s ${hex(own)} in user mode, found ${hex(gsBase(cpu))}`;
  },
};

/** [from, to] of a stack whose words lie below `top`. */
const isOn = (rsp: bigint, top: bigint, size: bigint): boolean => rsp > top - size && rsp <= top;

export const kernelStack: Invariant = {
  id: 'kernel-stack',
  point({ view, cpu, task, name }) {
    if (name === 'panic') return undefined; // a double fault has a stack of its own
    const { layout } = view;
    const rsp = cpu.state.reg(GPR.rsp);
    if (isOn(rsp, task.stackTop, layout.stackSize) && !isNmiFromKernel(name, { view, cpu })) return undefined;
    const nmiTop = layout.nmi_stacks + BigInt(cpu.index + 1) * layout.NMI_STACK_SIZE;
    if (isOn(rsp, nmiTop, layout.NMI_STACK_SIZE) && !isNmiFromUser(name, { view, cpu })) return undefined;
    return `expected rsp in ${name} to lie on the stack of task ${task.pid}, or of CPU ${cpu.index}'s NMIs from the kernel, found ${hex(rsp)}`;
  },
  user({ cpu, own, task }) {
    if (own.kernelStack === task.stackTop && own.sp0 === task.stackTop) return undefined;
    return `expected the next entry on CPU ${cpu.index} to find ${hex(task.stackTop)}, the stack of task ${task.pid}, found ${hex(own.kernelStack)} for system calls and NMIs, ${hex(own.sp0)} for interrupts`;
  },
};

/** Privilege level of what an NMI interrupted: do_nmi is given its registers. */
const interrupted = ({ view, cpu }: Pick<Seen, 'view' | 'cpu'>): bigint =>
  (view.word(cpu.state.reg(GPR.rdi) + view.layout.PT_cs) ?? 0n) & 3n;
const isNmiFromUser = (name: string, seen: Pick<Seen, 'view' | 'cpu'>): boolean =>
  name === 'do_nmi' && interrupted(seen) === 3n;
const isNmiFromKernel = (name: string, seen: Pick<Seen, 'view' | 'cpu'>): boolean =>
  name === 'do_nmi' && interrupted(seen) === 0n;

/** The tracers that are registered are those of the list, unless that is being changed. */
function wrongTracers({ view, history }: EndSeen): string | undefined {
  if (history.flights.some(({ routine }) => routine !== 'request')) return undefined;
  const works = view.tracers();
  if (typeof works === 'string') return works;
  const { tracers } = history;
  if (works.length === tracers.length && tracers.every(({ work }) => works.includes(work))) return undefined;
  return `expected the list of callbacks to hold the ${tracers.length} registered tracers, found ${works.length} works`;
}

export const lists: Invariant = {
  id: 'lists',
  request: ({ view, task }) => view.worksLoop(task.works),
  user: (seen) => wrongTracers(seen) ?? seen.view.worksLoop(seen.task.works),
  taskExit({ view, task }) {
    if (task.works === view.layout.work_exited) return undefined;
    return `expected the list of task ${task.pid}'s works to be empty and closed as it is gone, found ${hex(task.works)}`;
  },
};

export const noSplat: Invariant = {
  id: 'no-splat',
  point({ name, view, cpu }) {
    const text = (register: 'rdi' | 'rsi'): string => view.text(cpu.state.reg(GPR[register]));
    if (name === 'warn') return `expected no warning, found one of ${text('rdi')} (${text('rsi')})`;
    return name === 'panic' ? `expected no panic, found "${text('rdi')}"` : undefined;
  },
};
