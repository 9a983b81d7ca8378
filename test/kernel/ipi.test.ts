/** Interprocessor interrupts from an NMI that hit the sending of another: the two halves of the ICR stay together. */
import { afterEach, expect, test } from 'vitest';
import { Kernel, returned } from './harness.js';

let kernel: Kernel;
afterEach(() => kernel.close());

test.each([
  ['to another CPU', 'apic_send_ipi', [2n]],
  ['to the own CPU', 'apic_send_ipi_self', []],
] as const)(
  'an NMI at each instruction of a sending sends one %s: both arrive where they should',
  (_where, send, to) => {
    kernel = new Kernel('roundtrip 20', { cpus: 3 });
    const reschedule = BigInt(kernel.constant('RESCHEDULE_VECTOR'));
    const taskWork = BigInt(kernel.constant('TASK_WORK_VECTOR'));
    const arrived: string[] = [];
    for (const place of ['asm_reschedule', 'asm_task_work'])
      kernel.watch(place, (cpu) => {
        arrived.push(`${place} ${cpu.index}`);
        return arrived.length === 2;
      });
    const finish = kernel.enter('apic_send_ipi', 1n, reschedule);
    const { boundaries } = kernel.sweep(returned(kernel), () => {
      kernel.nmi();
      kernel.runTo('perf_nmi');
      kernel.call(send, ...to, taskWork);
      finish();
      while (arrived.length < 2) kernel.run();
      expect(arrived.splice(0).sort()).toEqual(['asm_reschedule 1', `asm_task_work ${to[0] ?? 0}`]);
    });
    expect(boundaries).toBeGreaterThan(10);
  },
);
