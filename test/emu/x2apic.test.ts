/** A PC's local APIC: its modes, x2APIC registers, TSC deadlines and pins (SDM 3A, 11.4.3, 11.5 and 11.12), as its unit and through the guest's eyes. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MSR } from '../../emu/cpu/architecture.js';
import { CPU_MODELS } from '../../emu/cpu/model.js';
import type { Ipi } from '../../emu/devices/apic-command.js';
import { REG } from '../../emu/devices/apic-registers.js';
import { type BusCpu, deliverInterrupt, type Interrupt } from '../../emu/devices/interrupt-bus.js';
import { LocalApic } from '../../emu/devices/local-apic.js';
import { Bare } from './bare.js';

const BASE = 0xfee0_0000n;
const ENABLED = 0x800n;
const EXTENDED = 0x400n;
const BSP = 0x100n;
const STATE = { off: 0n, xapic: ENABLED, x2apic: ENABLED | EXTENDED, invalid: EXTENDED } as const;
type State = keyof typeof STATE;
const MASKED = 0x1_0000;
const DEADLINE_MODE = 0x4_0000;
const msr = (offset: number): number => 0x800 + (offset >> 4);

/** One APIC on a bench: its wires lead to lists; its time-stamp counter is `offset` ahead of the time. */
function bench(state: State = 'xapic', id = 1) {
  const sent: Ipi[] = [];
  const ended: number[] = [];
  const wires = { time: 0, offset: 0n, nmis: 0 };
  const apic = new LocalApic(
    id,
    {
      now: () => wires.time,
      timestamp: () => BigInt(wires.time) + wires.offset,
      send: (ipi) => sent.push(ipi),
      raiseNmi: () => wires.nmis++,
      changed: () => {},
      endOfInterrupt: (vector) => ended.push(vector),
    },
    CPU_MODELS.pc.apic,
  );
  apic.write(REG.svr, 0x1ff);
  const own = BASE | (id === 0 ? BSP : 0n);
  if (state !== 'xapic') expect(apic.setBase(own | STATE[state])).toBe(true);
  return { apic, sent, ended, wires, own };
}

describe('IA32_APIC_BASE (figure 11-27)', () => {
  test.each<[from: State, to: State, allowed: boolean]>([
    ['off', 'off', true],
    ['off', 'xapic', true],
    ['off', 'x2apic', false],
    ['off', 'invalid', false],
    ['xapic', 'off', true],
    ['xapic', 'xapic', true],
    ['xapic', 'x2apic', true],
    ['xapic', 'invalid', false],
    ['x2apic', 'off', true],
    ['x2apic', 'xapic', false],
    ['x2apic', 'x2apic', true],
    ['x2apic', 'invalid', false],
  ])('from %s to %s: %s', (from, to, allowed) => {
    const { apic, own } = bench(from);
    expect(apic.setBase(own | STATE[to])).toBe(allowed);
    expect(apic.base).toBe(own | STATE[allowed ? to : from]);
  });

  test.each<[string, bigint]>([
    ['another address', 0x0010_0000n],
    ['an address above 40 bits', 1n << 40n],
    ['a reserved bit', 1n],
    ['another boot processor', BSP],
  ])('%s is refused', (_name, bit) => {
    const { apic } = bench();
    expect(apic.setBase(apic.base ^ bit)).toBe(false);
  });

  test('a microvm has none of this', () => {
    const apic = new LocalApic(0, { now: () => 0, send: () => {}, raiseNmi: () => {}, changed: () => {} });
    for (const state of ['off', 'x2apic'] as const)
      expect(apic.setBase(BASE | BSP | STATE[state])).toBe(false);
    expect(apic.setBase(BASE | BSP | STATE.xapic)).toBe(true);
  });

  test('switched off it takes nothing, shows nothing, and forgets', () => {
    const { apic, own } = bench();
    apic.write(REG.tpr, 0x20);
    apic.accept(0x50);
    apic.setBase(own);
    apic.accept(0x60);
    expect([apic.pendingVector(), apic.read(REG.version), apic.readMsr(msr(REG.version))]).toEqual([-1, 0xffff_ffff, undefined]);
    apic.setBase(own | ENABLED);
    expect([apic.read(REG.tpr), apic.read(REG.svr), apic.pendingVector()]).toEqual([0, 0xff, -1]);
  }); // biome-ignore format: one expectation to a line

  test.each(['off', 'xapic', 'x2apic'] as const)('INIT leaves the mode %s', (state) => {
    const { apic } = bench(state);
    const { base } = apic;
    apic.reset();
    expect(apic.base).toBe(base);
  });

  test('entering x2APIC mode keeps what was set up', () => {
    const { apic, own } = bench();
    apic.write(REG.tpr, 0x20);
    apic.write(REG.lvtTimer, 0x40);
    apic.accept(0x50);
    apic.setBase(own | STATE.x2apic);
    expect([REG.tpr, REG.lvtTimer, REG.svr].map((register) => apic.readMsr(msr(register)))).toEqual([0x20n, 0x40n, 0x1ffn]);
    expect(apic.pendingVector()).toBe(0x50);
  }); // biome-ignore format: one expectation to a line
});

describe('registers of x2APIC mode (table 11-6)', () => {
  /** `r`: only read; `w`: only written, as zero where no other value is given; `rw`; `-`: not there. */
  test.each<[name: string, offset: number, access: 'r' | 'w' | 'rw' | '-', written?: bigint, refused?: bigint]>([
    ['local APIC id', 0x20, 'r'],
    ['version', 0x30, 'r'],
    ['task priority', 0x80, 'rw', 0xffn, 0x100n],
    ['arbitration priority', 0x90, '-'],
    ['processor priority', 0xa0, 'r'],
    ['end of interrupt', 0xb0, 'w', 0n, 1n],
    ['remote read', 0xc0, '-'],
    ['logical destination', 0xd0, 'r'],
    ['destination format', 0xe0, '-'],
    ['spurious vector', 0xf0, 'rw', 0x1ffn, 0x1000n],
    ['in service, first word', 0x100, 'r'],
    ['in service, last word', 0x170, 'r'],
    ['trigger mode, last word', 0x1f0, 'r'],
    ['request, last word', 0x270, 'r'],
    ['error status', 0x280, 'rw', 0n, 1n],
    ['corrected machine checks', 0x2f0, '-'],
    ['interrupt command', 0x300, 'rw', 0xffff_ffff_000c_cfffn, 0x1000n],
    ['its high half', 0x310, '-'],
    ['timer', 0x320, 'rw', 0x3_00ffn, 0x100n],
    ['thermal sensor', 0x330, 'rw', 0x1_07ffn, 0x2000n],
    ['performance', 0x340, 'rw', 0x1_07ffn, 0x2000n],
    ['LINT0', 0x350, 'rw', 0x1_a7ffn, 0x2_0000n],
    ['LINT1', 0x360, 'rw', 0x1_a7ffn, 0x2_0000n],
    ['error', 0x370, 'rw', 0x1_00ffn, 0x400n],
    ['initial count', 0x380, 'rw', 0xffff_ffffn, 1n << 32n],
    ['current count', 0x390, 'r'],
    ['one that is reserved', 0x3d0, '-'],
    ['divide', 0x3e0, 'rw', 0xbn, 0x4n],
    ['self IPI', 0x3f0, 'w', 0xffn, 0x100n],
  ])('%s', (_name, offset, access, written = 0n, refused) => {
    const { apic } = bench('x2apic');
    const reads = access.startsWith('r');
    expect(apic.readMsr(msr(offset)) !== undefined).toBe(reads);
    expect(apic.writeMsr(msr(offset), written)).toBe(access.endsWith('w'));
    if (reads && access.endsWith('w')) expect(apic.readMsr(msr(offset))).toBe(written);
    if (refused !== undefined) expect(apic.writeMsr(msr(offset), refused)).toBe(false);
  }); // biome-ignore format: a register to a line

  test('are not there in xAPIC mode, nor the page in x2APIC mode', () => {
    const { apic } = bench('xapic');
    expect([apic.readMsr(msr(REG.id)), apic.writeMsr(msr(REG.tpr), 0n)]).toEqual([undefined, false]);
    const { apic: other } = bench('x2apic');
    other.write(REG.tpr, 0x30);
    expect([other.read(REG.id), other.readMsr(msr(REG.tpr))]).toEqual([0xffff_ffff, 0n]);
  });

  test.each([
    [0, 0x0_0001n],
    [5, 0x0_0020n],
    [0x1f, 0x1_8000n],
    [0x23, 0x2_0008n],
  ])('id %i has the logical id %i (11.12.10.2)', (id, logical) => {
    const { apic } = bench('x2apic', id);
    expect([apic.readMsr(msr(REG.id)), apic.readMsr(msr(REG.ldr))]).toEqual([BigInt(id), logical]);
  });

  test.each([
    ['its bit', 0x1_0002, true],
    ['several bits', 0x1_0007, true],
    ['another bit', 0x1_0001, false],
    ['another cluster', 0x2_0002, false],
    ['everybody', 0xffff_ffff, true],
  ])('logical destinations of id 17: %s', (_name, destination, matches) => {
    expect(bench('x2apic', 17).apic.matchesLogical(destination)).toBe(matches);
  });
});

describe('the interrupt command register of x2APIC mode', () => {
  test.each<[string, bigint, Ipi]>([
    ['one', 0x0000_0103_0000_4041n, { mode: 'fixed', vector: 0x41, destination: { physical: 0x103 } }],
    ['a number of all ones in xAPIC mode', 0x0000_00ff_0000_4041n, { mode: 'fixed', vector: 0x41, destination: { physical: 0xff } }],
    ['everybody', 0xffff_ffff_0000_4041n, { mode: 'fixed', vector: 0x41, destination: 'all' }],
    ['a cluster', 0x0001_0003_0000_4841n, { mode: 'fixed', vector: 0x41, destination: { logical: 0x1_0003 } }],
    ['lowest priority', 0x0001_0003_0000_4941n, { mode: 'lowest', vector: 0x41, destination: { logical: 0x1_0003 } }],
    ['NMI to the others', 0x0000_0000_000c_4400n, { mode: 'nmi', vector: 0, destination: 'others' }],
    ['SMI', 0x0000_0001_0000_4200n, { mode: 'smi', vector: 0, destination: { physical: 1 } }],
    ['start-up', 0x0000_0001_0000_4608n, { mode: 'sipi', vector: 8, destination: { physical: 1 } }],
  ])('%s', (_name, value, ipi) => {
    const { apic, sent } = bench('x2apic');
    expect(apic.writeMsr(msr(REG.icrLow), value)).toBe(true);
    expect(sent).toEqual([ipi]);
  }); // biome-ignore format: a command to a line

  test('the self-IPI register sends a fixed interrupt to itself', () => {
    const { apic, sent } = bench('x2apic');
    apic.writeMsr(msr(REG.selfIpi), 0x77n);
    expect(sent).toEqual([{ mode: 'fixed', vector: 0x77, destination: 'self' }]);
  });
});

describe('errors (11.5.3)', () => {
  const status = (apic: LocalApic): number => {
    apic.write(REG.esr, 0);
    return apic.read(REG.esr);
  };
  test.each<[string, number, (apic: LocalApic) => void]>([
    ['a register that is not there is read', 0x80, (apic) => apic.read(0x40)],
    ['one is written', 0x80, (apic) => apic.write(0x3d0, 0)],
    ['the self-IPI register in xAPIC mode', 0x80, (apic) => apic.write(0x3f0, 0x50)],
    ['an illegal vector comes', 0x40, (apic) => apic.accept(0xf)],
    ['one is sent', 0x20, (apic) => apic.write(REG.icrLow, 0x400f)],
    ['one is sent to the lowest priority', 0x20, (apic) => apic.write(REG.icrLow, 0x410f)],
    ['the timer has one', 0x40, (apic) => { apic.write(REG.lvtTimer, 3); apic.write(REG.initialCount, 1); apic.advance(2); }],
  ])('%s', (_name, bits, act) => {
    const { apic, sent } = bench();
    apic.write(REG.lvtError, 0x70);
    act(apic);
    expect([sent, apic.pendingVector(), status(apic), status(apic)]).toEqual([[], 0x70, bits, 0]);
  }); // biome-ignore format: an error to a line

  test('registers that the oldest processors had are read in silence', () => {
    const { apic } = bench();
    expect([apic.read(REG.arbitration), apic.read(REG.remoteRead), status(apic)]).toEqual([0, 0, 0]);
  });
});

describe('the timer in TSC-deadline mode (11.5.4.1)', () => {
  const armed = (deadline: bigint, offset = 0n) => {
    const it = bench();
    it.wires.offset = offset;
    it.apic.write(REG.lvtTimer, DEADLINE_MODE | 0x40);
    it.apic.tscDeadline = deadline;
    return it;
  };

  test('fires once when the time-stamp counter is there, and the register is zero then', () => {
    const { apic } = armed(5000n, 1000n);
    expect([apic.deadline, apic.tscDeadline]).toEqual([4000, 5000n]);
    apic.advance(3999);
    expect(apic.pendingVector()).toBe(-1);
    apic.advance(4000);
    expect([apic.pendingVector(), apic.deadline, apic.tscDeadline]).toEqual([0x40, Number.POSITIVE_INFINITY, 0n]);
  }); // biome-ignore format: one expectation to a line
  test('fires at once when it has passed', () => {
    expect(armed(5n, 1000n).apic.deadline).toBe(0);
  });
  test('never when it is behind the end of time', () => {
    expect(armed(2n ** 64n - 1n).apic.deadline).toBe(Number.POSITIVE_INFINITY);
  });
  test('zero disarms it', () => {
    const { apic } = armed(5000n);
    apic.tscDeadline = 0n;
    expect(apic.deadline).toBe(Number.POSITIVE_INFINITY);
  });
  test('a time-stamp counter that is set moves it', () => {
    const { apic, wires } = armed(5000n);
    wires.offset = 4990n;
    apic.timestampChanged();
    expect(apic.deadline).toBe(10);
  });
  test('the counts are off: writes are ignored, zero is read', () => {
    const { apic } = armed(5000n);
    apic.write(REG.initialCount, 7);
    expect([apic.read(REG.initialCount), apic.read(REG.currentCount), apic.deadline]).toEqual([0, 0, 5000]);
  });
  test.each([
    ['to deadlines', 0x40, DEADLINE_MODE | 0x40],
    ['to one-shot', DEADLINE_MODE | 0x40, 0x40],
    ['to periodic', DEADLINE_MODE | 0x40, 0x2_0040],
  ])('a change %s disarms it', (_name, from, to) => {
    const { apic } = bench();
    apic.write(REG.lvtTimer, from);
    apic.write(REG.initialCount, 100);
    apic.tscDeadline = 100n;
    expect(apic.deadline).not.toBe(Number.POSITIVE_INFINITY);
    apic.write(REG.lvtTimer, to);
    expect([apic.deadline, apic.tscDeadline]).toEqual([Number.POSITIVE_INFINITY, 0n]);
  });
  test('another vector or the mask leave it armed', () => {
    const { apic } = armed(5000n);
    apic.write(REG.lvtTimer, DEADLINE_MODE | MASKED | 0x41);
    expect(apic.deadline).toBe(5000);
  });
  test('in other modes the register is zero and writes are ignored', () => {
    const { apic } = bench();
    apic.write(REG.lvtTimer, 0x40);
    apic.tscDeadline = 5000n;
    expect([apic.tscDeadline, apic.deadline]).toEqual([0n, Number.POSITIVE_INFINITY]);
  });
  test('between one-shot and periodic the count goes on', () => {
    const { apic, wires } = bench();
    apic.write(REG.lvtTimer, 0x40);
    apic.write(REG.divide, 0xb);
    apic.write(REG.initialCount, 100);
    wires.time = 60;
    apic.write(REG.lvtTimer, 0x2_0040);
    expect(apic.read(REG.currentCount)).toBe(40);
    apic.advance(100);
    expect(apic.deadline).toBe(200);
  });
});

describe('the pins (11.5.1)', () => {
  const LEVEL = 0x8000;
  const REMOTE_IRR = 0x4000;
  test.each([
    ['LINT0', 0, REG.lvtLint0, 0x50, 0x50, 0],
    ['LINT1', 1, REG.lvtLint1, 0x50, 0x50, 0],
    ['LINT1 knows no levels', 1, REG.lvtLint1, LEVEL | 0x50, 0x50, 0],
    ['NMI at LINT0', 0, REG.lvtLint0, 0x400, -1, 1],
    ['NMI at LINT1', 1, REG.lvtLint1, 0x400, -1, 1],
    ['masked', 1, REG.lvtLint1, MASKED | 0x400, -1, 0],
    ['ExtINT comes from the 8259s', 0, REG.lvtLint0, 0x700, -1, 0],
  ] as const)('an edge at %s', (_name, pin, register, entry, vector, nmis) => {
    const { apic, wires } = bench();
    apic.write(register, entry);
    apic.setPin(pin, true);
    apic.setPin(pin, true);
    expect([apic.pendingVector(), wires.nmis]).toEqual([vector, nmis]);
    apic.setPin(pin, false);
    apic.setPin(pin, true);
    expect(wires.nmis).toBe(2 * nmis);
  });

  test('a level is taken once until its end of interrupt, and again while it stands', () => {
    const { apic, ended } = bench();
    apic.write(REG.lvtLint0, LEVEL | 0x50);
    apic.setPin(0, true);
    expect([apic.pendingVector(), apic.read(REG.lvtLint0)]).toEqual([0x50, LEVEL | REMOTE_IRR | 0x50]);
    apic.acknowledge(0x50);
    expect(apic.pendingVector()).toBe(-1);
    apic.write(REG.eoi, 0);
    expect([apic.pendingVector(), ended]).toEqual([0x50, [0x50]]);
    apic.acknowledge(0x50);
    apic.setPin(0, false);
    apic.write(REG.eoi, 0);
    expect([apic.pendingVector(), apic.read(REG.lvtLint0)]).toEqual([-1, LEVEL | 0x50]);
  });

  test('a level that stands is taken when its entry is opened', () => {
    const { apic } = bench();
    apic.setPin(0, true);
    apic.write(REG.lvtLint0, LEVEL | 0x50);
    expect(apic.pendingVector()).toBe(0x50);
  });

  test('of an APIC that is switched off are INTR and NMI', () => {
    const { apic, wires } = bench('off');
    apic.setPin(0, true);
    apic.setPin(1, true);
    expect([apic.takesExternal, wires.nmis, apic.pendingVector()]).toEqual([true, 1, -1]);
  });
});

describe('the bus', () => {
  /** Four CPUs; what reached them. */
  function four() {
    const reached: string[] = [];
    const cpus: BusCpu[] = [0, 1, 2, 3].map((id) => {
      const { apic } = bench('xapic', id);
      apic.write(REG.ldr, 1 << (24 + id));
      return {
        apic,
        raiseNmi: () => reached.push(`nmi ${id}`),
        init: () => reached.push(`init ${id}`),
        startup: (vector) => reached.push(`sipi ${id} ${vector}`),
      };
    });
    const arrived = (interrupt: Interrupt): string[] => {
      deliverInterrupt(cpus, interrupt, cpus[0]);
      const vectors = cpus.flatMap(({ apic }) => (apic.pendingVector() < 0 ? [] : [`${apic.pendingVector()} at ${apic.id}`]));
      return [...reached.splice(0), ...vectors];
    }; // biome-ignore format: it is one
    return { cpus, arrived };
  }

  test.each<[string, Interrupt, string[]]>([
    ['fixed', { mode: 'fixed', vector: 80, destination: { logical: 0b1010 } }, ['80 at 1', '80 at 3']],
    ['lowest priority', { mode: 'lowest', vector: 80, destination: { logical: 0b1110 } }, ['80 at 3']],
    ['lowest priority among equals', { mode: 'lowest', vector: 80, destination: { logical: 0b0110 } }, ['80 at 1']],
    ['SMI', { mode: 'smi', vector: 0, destination: 'all' }, []],
    ['NMI', { mode: 'nmi', vector: 0, destination: 'others' }, ['nmi 1', 'nmi 2', 'nmi 3']],
    ['INIT', { mode: 'init', vector: 0, destination: { physical: 2 } }, ['init 2']],
    ['start-up', { mode: 'sipi', vector: 8, destination: { physical: 2 } }, ['sipi 2 8']],
  ])('%s', (_name, interrupt, expected) => {
    const { cpus, arrived } = four();
    for (const [id, priority] of [0x30, 0x20, 0x20, 0x10].entries()) cpus[id]!.apic.write(REG.tpr, priority);
    expect(arrived(interrupt)).toEqual(expected);
  }); // biome-ignore format: a mode to a line

  test('the lowest priority is not that of a CPU that takes nothing', () => {
    const { cpus, arrived } = four();
    for (const { apic } of cpus.slice(0, 3)) apic.write(REG.tpr, 0x20);
    cpus[3]!.apic.write(REG.svr, 0xff);
    expect(arrived({ mode: 'lowest', vector: 80, destination: 'all' })).toEqual(['80 at 0']);
  });
  test('an APIC that is disabled by software takes NMIs and no interrupts', () => {
    const { cpus, arrived } = four();
    cpus[1]!.apic.write(REG.svr, 0xff);
    expect(arrived({ mode: 'nmi', vector: 0, destination: { physical: 1 } })).toEqual(['nmi 1']);
    expect(arrived({ mode: 'fixed', vector: 80, destination: { physical: 1 } })).toEqual([]);
  });
  test('one that is switched off takes nothing', () => {
    const { cpus, arrived } = four();
    cpus[1]!.apic.setBase(BASE);
    expect(arrived({ mode: 'nmi', vector: 0, destination: 'others' })).toEqual(['nmi 2', 'nmi 3']);
  });
});

describe('through the guest', () => {
  let bare: Bare;
  beforeEach(async () => {
    bare = new Bare({ kind: 'pc', cpus: 2 });
    await bare.haltingHandlers();
  });
  afterEach(() => bare.close());

  const write = (register: number, value: bigint): string =>
    `mov $${register}, %ecx\nmov $${value & 0xffff_ffffn}, %eax\nmov $${value >> 32n}, %edx\nwrmsr\n`;
  const read = (register: number): string => `mov $${register}, %ecx\nrdmsr\nshl $32, %rdx\nor %rdx, %rax\n`;
  const X2APIC = write(MSR.APIC_BASE, BASE | BSP | STATE.x2apic) + write(msr(REG.svr), 0x1ffn);

  test('x2APIC mode: its id, and an interrupt to itself', async () => {
    const labels = await bare.code(
      `${X2APIC}${read(msr(REG.id))}mov %rax, %rsi\nsti\nnop\n${write(msr(REG.selfIpi), 0x51n)}at: nop\nnop`,
    );
    expect(bare.stoppedIn()).toBe(0x51);
    expect([bare.frame(false).rip, bare.reg('rsi')]).toEqual([labels.get('at'), 0n]);
  });

  test('an x2APIC sends to another CPU', async () => {
    const other = bare.machine.cpus[1]!;
    await bare.code('nop', 0x3_0000);
    await bare.code(`${X2APIC}${write(msr(REG.icrLow), 0x0000_0001_0000_4400n)}hlt`);
    bare.machine.run({ budget: 1000 });
    expect(Number(other.state.rip)).toBe(0x2_0003); // behind the HLT of vector 2
  });

  test.each([
    ['a register that is not there', read(0x80e)],
    ['a write-only one', read(msr(REG.eoi))],
    ['a reserved bit', write(msr(REG.tpr), 0x100n)],
    ['back to xAPIC mode', write(MSR.APIC_BASE, BASE | BSP | STATE.xapic)],
  ])('%s is #GP', async (_name, code) => {
    await bare.code(`${X2APIC}${code}`);
    expect(bare.stoppedIn()).toBe(13);
  });

  test('CPUID denies an APIC that is switched off', async () => {
    const has = 'mov $1, %eax\ncpuid\nshr $9, %edx\nand $1, %edx\n';
    await bare.code(
      `${has}mov %edx, %esi\n${write(MSR.APIC_BASE, BASE | BSP)}${has}mov %edx, %edi\n${write(MSR.APIC_BASE, BASE | BSP | ENABLED)}${has}int3`,
    );
    expect(bare.stoppedIn()).toBe(3);
    expect([bare.reg('rsi'), bare.reg('rdi'), bare.reg('rdx')]).toEqual([1n, 0n, 1n]);
  });

  test('a TSC deadline wakes a halted CPU', async () => {
    await bare.code(`
      ${X2APIC}${write(msr(REG.lvtTimer), BigInt(DEADLINE_MODE | 0x61))}
      ${write(MSR.TSC, 0x1_0000_0000n)}
      ${write(MSR.TSC_DEADLINE, 0x1_0001_0000n)}
      sti
      hlt`);
    expect(bare.stoppedIn()).toBe(0x61);
    expect(bare.cpu.timestamp).toBeGreaterThanOrEqual(0x1_0001_0000n);
    expect(bare.machine.retired).toBeLessThan(100);
  });

  test('IA32_TSC_ADJUST and the counter move one another', async () => {
    await bare.code(`
      ${write(MSR.TSC, 0x5000n)}${read(MSR.TSC_ADJUST)}mov %rax, %rsi
      ${write(MSR.TSC_ADJUST, 0x1_0000_0000n)}${read(MSR.TSC)}int3`);
    expect(bare.stoppedIn()).toBe(3);
    // WRMSR to the counter is the fourth instruction: three came before it.
    expect(bare.reg('rsi')).toBe(0x5000n - 3n);
    expect(bare.reg('rax') >> 32n).toBe(1n);
  });

  test('a snapshot holds the mode, a deadline and what is requested', async () => {
    await bare.code(`
      ${X2APIC}${write(msr(REG.lvtTimer), BigInt(DEADLINE_MODE | 0x61))}${write(MSR.TSC_DEADLINE, 500n)}
      ${write(msr(REG.selfIpi), 0x51n)}
      mov $1000, %ebx\nwait: dec %ebx\njnz wait
      sti\nnop\nnop`);
    bare.machine.run({ budget: 60 });
    const before = bare.machine.snapshot();
    const first = [bare.stoppedIn(), bare.machine.events.hash.digest];
    expect(first[0]).toBe(0x61);
    bare.machine.restore(before);
    expect([bare.stoppedIn(), bare.machine.events.hash.digest]).toEqual(first);
  });
});
