/** Does to a machine what a schedule says. */
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR } from '../../emu/engine/cpu-state.js';
import type { Machine, Outcome } from '../../emu/machine.js';
import { type Choice, ScheduleError } from './schedule.js';

const WORD = 8;
/** The upper half of the address space is the kernel's. */
const isUpperHalf = (address: bigint): boolean => BigInt.asIntN(64, address) < 0n;

/**
 * Takes one decision. @returns how the guest ended, where it ended before the decision's last instruction.
 * @throws ScheduleError for a CPU that the machine does not have, and for a call of no routine or from where none may be called.
 */
export function applyChoice(machine: Machine, choice: Choice): Outcome | undefined {
  if ('cpu' in choice) expectCpu(machine, choice.cpu);
  switch (choice.kind) {
    case 'run': {
      if (choice.count === 0) return undefined;
      const outcome = machine.run({ budget: choice.count });
      return outcome.kind === 'budget' ? undefined : outcome;
    }
    case 'cpu':
      for (let count = 0; count < choice.count; count++) {
        const outcome = machine.step(choice.cpu);
        if (outcome !== undefined) return outcome;
      }
      return undefined;
    case 'nmi':
      machine.inject(choice.cpu, { nmi: true });
      return undefined;
    case 'irq':
      machine.inject(choice.cpu, { vector: choice.vector });
      return undefined;
    case 'deliver':
      return machine.deliver(choice.cpu);
    case 'call':
      callRoutine(machine, machine.cpus[choice.cpu]!, choice.symbol);
      return undefined;
    case 'input':
      machine.input(choice.bytes);
      return undefined;
  }
}

/** Whether a routine of the kernel can be called where a CPU stands: in kernel mode, on a kernel stack, with the kernel's GS. */
export function mayCall({ state }: Vcpu): boolean {
  return state.cpl === 0 && isUpperHalf(state.reg(GPR.rsp)) && isUpperHalf(state.segment('gs').base);
}

/** Puts the CPU at the routine's first instruction; its `ret` leads back to where the CPU stands now. */
function callRoutine(machine: Machine, cpu: Vcpu, symbol: string): void {
  const { state, paging, index } = cpu;
  const routine = machine.symbols.lookup(symbol);
  if (routine === undefined) throw new ScheduleError(`expected a routine of the image, found ${symbol}`);
  if (!mayCall(cpu))
    throw new ScheduleError(
      `expected CPU ${index} to be in the kernel to call ${symbol}, found it at ${machine.symbols.format(state.rip)}`,
    );
  const rsp = state.reg(GPR.rsp) - BigInt(WORD);
  const back = Buffer.alloc(WORD);
  back.writeBigUInt64LE(state.rip);
  machine.memory.write(paging, rsp, back);
  state.setReg(GPR.rsp, rsp);
  state.rip = routine;
}

function expectCpu({ cpus }: Machine, index: number): void {
  if (index < cpus.length) return;
  throw new ScheduleError(`expected a CPU from 0 to ${cpus.length - 1}, found ${index}`);
}
