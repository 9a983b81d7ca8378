/**
 * Race L: an NMI in unwind_reset_info, after the store to the mask and before that to the id. And two mends, as patches of the
 * image: one that only changes the order, which is wrong, and one that holds. The story is in docs/races.md.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { type Patch, patchSite } from '../../src/asm/patch.js';
import { openImage } from '../../src/lab/open.js';
import { inUserMode, Kernel, newTracer, returned, type Tracer } from './harness.js';

const VERSION = 'v6.19';
const EINVAL = -22;
/** Of TASK_flags: a bit that the kernel does not use. */
const RESETTING = 20;

let kernel: Kernel;
afterEach(() => kernel.close());

const IMAGE = openImage(`build/kernel-${VERSION}.elf`);
const constant = (name: string): bigint => IMAGE.symbols.requireConstant(name);
const field = (name: string): string =>
  `${constant('TASK_unwind_info') + constant(`UNWIND_INFO_${name}`)}(%rcx)`;
const FLAGS = constant('TASK_flags');

/** unwind_reset_info from its look at PENDING on; rax = mask, rcx = current. */
const patchReset = (code: string): Promise<Patch> =>
  patchSite(IMAGE, { at: 'unwind_reset_info+0x15', replace: { bytes: 58 }, with: code });
const CLEAR_CACHE = `
    movq ${field('cache')}, %rax
    testq %rax, %rax
    jz done
    movq %rdx, ${constant('UNWIND_CACHE_nr_entries')}(%rax)
    movq %rdx, ${constant('UNWIND_CACHE_completed')}(%rax)
  done:`;

/** The id is cleared first, then the mask. */
const otherOrder = async (): Promise<Patch[]> => [
  await patchReset(`
    xorl %edx, %edx
  again:
    testb $${constant('UNWIND_PENDING')}, %al
    jnz done
    movq %rdx, ${field('id')}
    lock cmpxchgq %rdx, ${field('mask')}
    jne again
    ${CLEAR_CACHE}`),
];

/** A flag of the task stands while the two are cleared, and a request that finds it is refused, as in an exiting task. */
const refusal = async (): Promise<Patch[]> => [
  await patchReset(`
    btsl $${RESETTING}, ${FLAGS}(%rcx)
  again:
    testb $${constant('UNWIND_PENDING')}, %al
    jnz done
    xorl %edx, %edx
    lock cmpxchgq %rdx, ${field('mask')}
    jne again
    movq %rdx, ${field('id')}
    ${CLEAR_CACHE}
    btrl $${RESETTING}, ${FLAGS}(%rcx)`),
  await patchSite(IMAGE, {
    at: 'unwind_deferred_request+0x1b', // its test of PF_KTHREAD and PF_EXITING
    with: `testl $${constant('PF_KTHREAD') | constant('PF_EXITING') | (1n << BigInt(RESETTING))}, ${FLAGS}(%rbx)`,
  }),
];

/** Two tracers, one of which has been served in this entry; the kernel stands before the reset. */
interface Scene {
  readonly served: Tracer;
  readonly fresh: Tracer;
  /** The cookie that the served one was called with. */
  readonly own: bigint;
}

function setScene(patches: readonly Patch[]): Scene {
  kernel = new Kernel('roundtrip 20', { version: VERSION });
  for (const { address, after } of patches) kernel.machine.write(0, address, after);
  const [served, fresh] = [newTracer(kernel), newTracer(kernel)];
  const { cookie: own } = served.request();
  kernel.runTo('unwind_reset_info.begin');
  expect(served.callbacks.splice(0)).toMatchObject([{ cookie: own }]);
  return { served, fresh, own };
}

/** A request that an NMI made, and what it was told. */
interface Request {
  readonly tracer: Tracer;
  readonly result: number;
  readonly cookie: bigint;
}

/** An NMI comes here, asks, and returns. */
function askInNmi(tracer: Tracer): Request {
  const { rip, cpl } = kernel.cpu.state;
  kernel.nmi();
  kernel.runTo('perf_nmi');
  const told = tracer.request();
  kernel.runTo(rip, ({ state }) => state.cpl === cpl);
  return { tracer, ...told };
}

/**
 * User code goes on at `ip`. @returns whether each request was kept: a granted one by one call with its cookie and this stack; one
 * that was told "you are, or will be, called" by such a call; a refused one by none. And nothing may be left over.
 */
function isKept(requests: readonly Request[], { served, fresh, own }: Scene, ip: bigint): boolean {
  kernel.runTo(ip, inUserMode);
  kernel.step();
  const { pending, mask, cookie: left } = kernel.info;
  const isKeptTo = (tracer: Tracer): boolean => {
    const asked = requests.filter((request) => request.tracer === tracer);
    const called = tracer.callbacks.splice(0);
    const cookies = called.map(({ cookie }) => cookie);
    const granted = asked.filter(({ result }) => result === 0).map(({ cookie }) => cookie);
    const known = tracer === served ? [own, ...cookies] : cookies;
    return (
      String(granted) === String(cookies) &&
      called.every(({ entries }) => entries[0] === ip) &&
      asked.every(({ result, cookie }) => (result === EINVAL ? cookie === 0n : known.includes(cookie)))
    );
  };
  return [served, fresh].map(isKeptTo).every(Boolean) && !pending && mask === 0n && left === 0n;
}

interface Count {
  runs: number;
  broken: number;
  refused: number;
}

/** An NMI asks at each instruction from the reset until `done`; with a second tracer, one more at each instruction from there on. */
function sweep(
  scene: Scene,
  [first, second]: readonly ('served' | 'fresh')[],
  done: (cpu: Vcpu) => boolean,
): Count {
  const { ip } = kernel.regs;
  const count: Count = { runs: 0, broken: 0, refused: 0 };
  const settle = (requests: readonly Request[]): void => {
    count.runs++;
    count.refused += Number(requests.some(({ result }) => result === EINVAL));
    count.broken += Number(!isKept(requests, scene, ip));
  };
  kernel.sweep(done, () => {
    const request = askInNmi(scene[first!]);
    if (second === undefined) return settle([request]);
    kernel.sweep(done, () => settle([request, askInNmi(scene[second])]));
  });
  return count;
}

const ONE = [['served'], ['fresh']] as const;
const TWO = [
  ['served', 'served'],
  ['served', 'fresh'],
  ['fresh', 'served'],
  ['fresh', 'fresh'],
] as const;

/** In unwind_reset_info only. */
function sweepReset(patches: readonly Patch[], tracers: readonly ('served' | 'fresh')[]): Count {
  const scene = setScene(patches);
  return sweep(scene, tracers, returned(kernel));
}

describe('race L, an NMI between the stores of unwind_reset_info', () => {
  test.each(ONE)('the %s tracer asks: two boundaries of sixteen lose its cookie', (tracer) => {
    expect(sweepReset([], [tracer])).toEqual({ runs: 16, broken: 2, refused: 0 });
  });
});

describe('the other order, the id before the mask', () => {
  test.each([
    ['served', 1],
    ['fresh', 6],
  ] as const)('the %s tracer asks: %i boundaries of eighteen lose its cookie', async (tracer, broken) => {
    expect(sweepReset(await otherOrder(), [tracer])).toEqual({ runs: 18, broken, refused: 0 });
  });
});

describe('refusal while the two are cleared', () => {
  test.each(ONE)(
    'the %s tracer asks: nothing is lost, twelve boundaries of nineteen refuse',
    async (tracer) => {
      expect(sweepReset(await refusal(), [tracer])).toEqual({ runs: 19, broken: 0, refused: 12 });
    },
  );

  test.each(TWO)('the %s, then the %s tracer asks, each in an NMI: nothing is lost', async (...tracers) => {
    const { runs, broken } = sweepReset(await refusal(), tracers);
    expect(broken).toBe(0);
    expect(runs).toBeGreaterThan(150);
  });

  test.each(ONE)('the %s tracer asks anywhere to user mode: nothing is lost', async (tracer) => {
    const scene = setScene(await refusal());
    expect(sweep(scene, [tracer], inUserMode)).toEqual({ runs: 52, broken: 0, refused: 12 });
    expect(kernel.runToEnd()).toBe(0);
  });
});
