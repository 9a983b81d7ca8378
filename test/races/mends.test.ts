/** Changes of the kernel, patched in and swept as a whole: the mends of races I, L and N, and races K and L where J does not hide them. */
import { describe, expect, test } from 'vitest';
import { patchSite } from '../../src/asm/patch.js';
import { openImage } from '../../src/lab/open.js';
import { sweepHere } from '../../src/lab/races.js';
import { jobOf, SCENARIOS, type Version } from '../../src/lab/scenarios.js';
import { parsePatch } from '../../src/schedule/schedule.js';
import { type Question, USER } from '../../src/sweep/question.js';
import { breachesOf, verdictOf } from '../../src/sweep/report.js';
import { Kernel, newTracer, Tracer } from '../kernel/harness.js';

/** docs/races.md, race L: a request that comes between the stores is refused. */
const REFUSE_IN_RESET = [
  `unwind_reset_info+0x15/58=btsl $0x14, 0x14(%rcx)
    again: testb $0x1, %al
    jnz done
    xorl %edx, %edx
    lock cmpxchgq %rdx, 0x288(%rcx)
    jne again
    movq %rdx, 0x290(%rcx)
    movq 0x270(%rcx), %rax
    testq %rax, %rax
    jz done
    movq %rdx, 0x8(%rax)
    movq %rdx, (%rax)
    done: btrl $0x14, 0x14(%rcx)`,
  'unwind_deferred_request+0x1b=testl $0x300004, 0x14(%rbx)',
];
/** docs/races.md, race I: TWA_NMI_CURRENT wherever interrupts are off, in place of a test for NMI. */
const INTERRUPT_WHERE_OFF = [
  `unwind_deferred_request+0x3e/20=pushfq
    popq %rax
    testl $0x200, %eax
    jnz on
    movl $0x4, %r14d
    on:`,
];
/** docs/races.md, race N: who is called must also stand in the mask as it is then. The rest is v6.19's code in fewer bytes. */
const LOOK_AGAIN = [
  `process_unwind_deferred+0x84/49=movq %r13, %rdi
    movslq 0x18(%r13), %rcx
    btq %rcx, 0x10(%rsp)
    jae next
    btq %rcx, 0x18(%rbx)
    jae next
    movq %rsp, %rsi
    movq %r12, %rdx
    callq *0x10(%rdi)
    movq (%rbx), %rcx
    jrcxz next
    movl 0x18(%r13), %eax
    xorl %edx, %edx
    btsq %rax, %rdx
    orq %rdx, (%rcx)
    next:`,
];
/** v6.17 with v6.19's mend of race J, but not with that of race K. */
const NMI_CURRENT = ['unwind_deferred_request+0x92=movl $0x4, %edx'];

/** What a scenario of the races breaks in a patched kernel, by sets of ids. */
async function broken(
  version: Version,
  patches: readonly string[],
  [window, about]: readonly [window: string, about: string],
  asked: Partial<Question> = {},
): Promise<string[]> {
  const scenario = SCENARIOS.find((each) => each.window === window && each.about === about)!;
  const job = jobOf(version, { ...scenario, question: { ...scenario.question, ...asked } });
  const report = await sweepHere({ ...job, guest: { ...job.guest, patches: patches.map(parsePatch) } });
  expect(verdictOf(report)).not.toBe('UNKNOWN');
  return breachesOf(report).map(({ ids }) => ids.join(' '));
}

const NMI_ON_RETURN = ['return', 'an NMI'] as const;
const TRACEPOINT_ON_RETURN = ['return', 'a tracepoint'] as const;

describe('the mend of race L in v6.19', () => {
  test.each([1, 2])('NMIs at most, from the reset on: %i; nothing is broken', async (depth) => {
    const asked = { from: 'unwind_reset_info', to: depth === 1 ? USER : undefined, depth };
    expect(await broken('v6.19', REFUSE_IN_RESET, NMI_ON_RETURN, asked)).toEqual([]);
  });
});

describe('the mend of race I in v6.19', () => {
  test('a tracepoint on the way out is as an NMI there: race L is left', async () => {
    expect(await broken('v6.19', INTERRUPT_WHERE_OFF, TRACEPOINT_ON_RETURN)).toEqual(['cookie-not-zero']);
    expect(await broken('v6.19', INTERRUPT_WHERE_OFF, NMI_ON_RETURN)).toEqual(['cookie-not-zero']);
  });

  test.each([NMI_ON_RETURN, TRACEPOINT_ON_RETURN])(
    'with that of race L nothing is left: %s, %s',
    async (...row) => {
      const patches = [...INTERRUPT_WHERE_OFF, ...REFUSE_IN_RESET];
      expect(await broken('v6.19', patches, row)).toEqual([]);
    },
  );

  test('nor by two tracepoints in the reset', async () => {
    const patches = [...INTERRUPT_WHERE_OFF, ...REFUSE_IN_RESET];
    const asked = { from: 'unwind_reset_info', to: undefined, depth: 2 };
    expect(await broken('v6.19', patches, TRACEPOINT_ON_RETURN, asked)).toEqual([]);
  });
});

describe('v6.17 with the mend of race J alone', () => {
  test('has race K', async () => {
    expect(await broken('v6.17', NMI_CURRENT, ['scheduler', 'an NMI'])).toEqual(['answered no-work-in-user']);
    expect(await broken('v6.19', [], ['scheduler', 'an NMI'])).toEqual([]);
  });
  test('has race L', async () => {
    expect(await broken('v6.17', NMI_CURRENT, NMI_ON_RETURN)).toEqual(['cookie-not-zero']);
  });
});

describe("race N in v6.19: a bit is given anew between the work's look at the mask and its look at the list", () => {
  /** How often the new owner is called, who has not asked, and the old one's neighbour, who has. */
  async function calls(patches: readonly string[]): Promise<[unasked: number, asked: number]> {
    const kernel = new Kernel('roundtrip 20', { version: 'v6.19' });
    try {
      for (const { at, bytes, with: code } of patches.map(parsePatch)) {
        const replace = { bytes: bytes! };
        const { address, after } = await patchSite(openImage('@kernel-v6.19'), { at, with: code, replace });
        kernel.machine.write(0, address, after);
      }
      const [gone, other] = [newTracer(kernel), newTracer(kernel)];
      const next = new Tracer(kernel);
      gone.request();
      other.request();
      kernel.runTo('srcu_read_lock');
      gone.cancel(); // as another CPU would do it
      expect(next.init()).toBe(0);
      kernel.runToUser();
      kernel.step();
      return [next.callbacks.length, other.callbacks.length];
    } finally {
      kernel.close();
    }
  }

  test('it is called', async () => {
    expect(await calls([])).toEqual([1, 1]);
  });
  test('it is not where the work looks at the mask again', async () => {
    expect(await calls(LOOK_AGAIN)).toEqual([0, 1]);
  });
  test.each([
    ['task-work', 'an NMI'],
    ['task-work', 'a tracepoint'],
    ['exit-loop', 'a tracepoint'],
    ['cancel', 'an NMI in a task work meanwhile'],
  ] as const)('and nothing else is broken by that: %s, %s', async (...row) => {
    expect(await broken('v6.19', LOOK_AGAIN, row)).toEqual([]);
  });
});
