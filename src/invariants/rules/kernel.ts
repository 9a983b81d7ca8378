/** What the kernel's own code relies on: its GS, its stacks, its lists; and that it does not complain. */
import type { Vcpu } from '../../../emu/cpu/vcpu.js';
import { GPR } from '../../../emu/engine/cpu-state.js';
import { userGsBase } from '../user-registers.js';
import { type EndSeen, hex, type Invariant, type PointSeen } from './rule.js';

const MSR_KERNEL_GS_BASE = 0xc000_0102;
const gsBase = ({ state }: Vcpu): bigint => state.segment('gs').base;

export const kernelGs: Invariant = {
  id: 'kernel-gs',
  point({ view, cpu, name }) {
    const expected = view.gsBase(cpu.index);
    const found = gsBase(cpu);
    if (found === expected) return undefined;
    return `expected GS base to be CPU ${cpu.index}'s ${hex(expected)} in ${name}, found ${hex(found)}`;
  },
  user({ view, cpu, entry }) {
    const expected = view.gsBase(cpu.index);
    const kept = cpu.readEngineMsr(MSR_KERNEL_GS_BASE);
    if (kept !== expected)
      return `expected KERNEL_GS_BASE to keep CPU ${cpu.index}'s ${hex(expected)} in user mode, found ${hex(kept)}`;
    const { registers, pid } = entry.start;
    const own = registers && userGsBase(registers);
    if (own === undefined || own === gsBase(cpu)) return undefined;
    return `expected GS base to be task ${pid}'s ${hex(own)} in user mode, found ${hex(gsBase(cpu))}`;
  },
};

const isOn = (rsp: bigint, top: bigint, size: bigint): boolean => rsp > top - size && rsp <= top;

/** Whether do_nmi was entered from user mode, by the registers that it is given; undefined at any other point. */
function nmiFromUser({ view, cpu, name }: PointSeen): boolean | undefined {
  if (name !== 'do_nmi') return undefined;
  return ((view.word(cpu.state.reg(GPR.rdi) + view.layout.PT_cs) ?? 0n) & 3n) === 3n;
}

export const kernelStack: Invariant = {
  id: 'kernel-stack',
  point(seen) {
    const { view, cpu, entry, name } = seen;
    const { THREAD_SIZE, NMI_STACK_SIZE, nmi_stacks } = view.layout;
    const { stackTop, pid } = entry.start;
    const rsp = cpu.state.reg(GPR.rsp);
    const fromUser = nmiFromUser(seen);
    if (fromUser !== false && isOn(rsp, stackTop, THREAD_SIZE)) return undefined;
    const nmiTop = nmi_stacks + BigInt(cpu.index + 1) * NMI_STACK_SIZE;
    if (fromUser !== true && isOn(rsp, nmiTop, NMI_STACK_SIZE)) return undefined;
    return `expected rsp in ${name} to lie on the stack of task ${pid}, or of CPU ${cpu.index}'s NMIs from the kernel, found ${hex(rsp)}`;
  },
  user({ view, cpu, entry }) {
    const { stackTop, pid } = entry.start;
    const syscalls = view.own('kernel_stack', cpu.index);
    const interrupts = view.sp0(cpu.index);
    if (syscalls === stackTop && interrupts === stackTop) return undefined;
    return `expected the next entry on CPU ${cpu.index} to find ${hex(stackTop)}, the stack of task ${pid}, found ${hex(syscalls)} for system calls and NMIs, ${hex(interrupts)} for interrupts`;
  },
};

/** The list is well formed, holds those who are registered and none who was cancelled. Not looked at while it may be changed. */
function wrongTracers({ view, history }: EndSeen): string | undefined {
  if (view.word(view.layout.callback_mutex) !== 0n) return undefined;
  const works = view.tracers();
  if (typeof works === 'string') return works;
  const isCancelling = (work: bigint): boolean =>
    history.flights.some((flight) => flight.routine === 'cancel' && flight.work === work);
  for (const { work, name } of history.tracers)
    if (!works.includes(work) && !isCancelling(work))
      return `expected ${name} on the list of callbacks, found ${works.length} others`;
  return works.some((work) => history.cancelled.includes(work))
    ? 'expected no cancelled tracer on the list of callbacks, found one'
    : undefined;
}

export const lists: Invariant = {
  id: 'lists',
  request({ view, entry }) {
    const first = view.word(entry.start.task + BigInt(view.layout.TASK_task_works));
    return view.brokenWorks(first ?? 0n);
  },
  user: (seen) => wrongTracers(seen) ?? seen.view.brokenWorks(seen.task.works),
  taskExit({ view, task }) {
    if (task.works === view.layout.work_exited) return undefined;
    return `expected the list of task ${task.pid}'s works to be empty and closed as it is gone, found ${hex(task.works)}`;
  },
};

const COMPLAINT = /(?:WARNING: CPU: |panic: ).*/;

export const noSplat: Invariant = {
  id: 'no-splat',
  line(line) {
    const [complaint] = COMPLAINT.exec(line) ?? [];
    return complaint === undefined ? undefined : `expected no complaint of the kernel, found "${complaint}"`;
  },
};
