/** Snapshots: what is restored is all there was. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MachineSnapshot } from '../../emu/machine.js';
import { phys } from '../../emu/memory/address.js';
import { AT, Bare } from './bare.js';
import { workload } from './workload.js';

const RAM = 4 << 20;

/** A full copy of what a snapshot must bring back. */
const copy = ({ machine }: Bare) => ({
  ram: createHash('sha1')
    .update(machine.memory.readPhysical(phys(0), RAM)!)
    .digest('hex'),
  hash: machine.events.hash.digest,
  count: machine.events.count,
  cpus: machine.cpus.map(({ state, apic, time, retired, activity, nmiPending, timestamp }) => ({
    registers: Array.from({ length: 16 }, (_, index) => state.reg(index)),
    segments: (['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const).map((name) => state.segment(name)),
    control: ([0, 2, 3, 4] as const).map((index) => state.cr(index)),
    tables: [state.gdt, state.idt, state.tr],
    other: [state.rip, state.rflags, state.efer, state.nmiBlocked, state.shadow],
    apic: Array.from({ length: 64 }, (_, index) => apic.read(index * 16)),
    kept: [time, retired, activity, nmiPending, timestamp],
  })),
});

test('from any point of a run the continuation is the same', async () => {
  const bare = await workload();
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 4000 }),
      (points, ahead) => {
        const snapshots: MachineSnapshot[] = [];
        const futures: unknown[] = [];
        for (const budget of points) {
          bare.machine.run({ budget });
          snapshots.push(bare.machine.snapshot());
        }
        for (const snapshot of snapshots) {
          bare.machine.restore(snapshot);
          bare.machine.run({ budget: ahead });
          futures.push(copy(bare));
        }
        for (const index of [...snapshots.keys()].reverse()) {
          bare.machine.restore(snapshots[index]!);
          bare.machine.run({ budget: ahead });
          expect(copy(bare)).toEqual(futures[index]);
        }
        for (const snapshot of snapshots) bare.machine.release(snapshot);
      },
    ),
    { numRuns: 20 },
  );
  bare.close();
});

test('any order of running, writing, taking, restoring and releasing agrees with full copies', async () => {
  const action = fc.oneof(
    fc.record({ kind: fc.constant('run' as const), budget: fc.integer({ min: 1, max: 800 }) }),
    fc.record({
      kind: fc.constant('write' as const),
      page: fc.integer({ min: 0x200, max: 0x3ff }),
      value: fc.integer({ min: 0, max: 255 }),
    }),
    fc.constant({ kind: 'take' as const }),
    fc.record({ kind: fc.constant('restore' as const), which: fc.nat(20) }),
    fc.record({ kind: fc.constant('release' as const), which: fc.nat(20) }),
  );
  const bare = await workload();
  fc.assert(
    fc.property(fc.array(action, { minLength: 5, maxLength: 40 }), (actions) => {
      const live: { snapshot: MachineSnapshot; oracle: ReturnType<typeof copy> }[] = [];
      for (const act of actions) {
        const pick = 'which' in act && live.length > 0 ? live[act.which % live.length] : undefined;
        if (act.kind === 'run') bare.machine.run({ budget: act.budget });
        else if (act.kind === 'write')
          bare.machine.memory.writePhysical(phys(act.page * 4096 + 100), Buffer.alloc(9, act.value));
        else if (act.kind === 'take') live.push({ oracle: copy(bare), snapshot: bare.machine.snapshot() });
        else if (pick !== undefined && act.kind === 'release') {
          bare.machine.release(pick.snapshot);
          live.splice(live.indexOf(pick), 1);
        } else if (pick !== undefined) {
          bare.machine.restore(pick.snapshot);
          expect(copy(bare)).toEqual(pick.oracle);
        }
      }
      for (const { snapshot } of live) bare.machine.release(snapshot);
    }),
    { numRuns: 60 },
  );
  bare.close();
});

test('a snapshot that has been released is refused', async () => {
  const bare = new Bare();
  const snapshot = bare.machine.snapshot();
  bare.machine.release(snapshot);
  expect(() => bare.machine.restore(snapshot)).toThrow(
    'expected a snapshot of this machine that has not been released',
  );
  bare.close();
});

test('a snapshot of another machine is refused', async () => {
  const [one, other] = [new Bare(), new Bare()];
  expect(() => one.machine.restore(other.machine.snapshot())).toThrow('expected a snapshot of this machine');
  one.close();
  other.close();
});

test('devices go back too: serial input, power, what is pending, NMI blocking, breakpoints passed', async () => {
  const bare = new Bare();
  await bare.haltingHandlers();
  const labels = await bare.code(
    'nop\nat: mov $0x3f8, %edx\nin %dx, %al\nmov $0x2000, %eax\nmov $0x604, %edx\nout %ax, %dx\nhlt',
  );
  const until = { address: labels.get('at')! };
  bare.machine.input(Buffer.from('A'));
  bare.machine.run({ until });
  const start = bare.machine.snapshot();
  for (let round = 0; round < 3; round++) {
    bare.machine.restore(start);
    expect(bare.machine.run({ until: { event: 'port' } }).kind).toBe('reached');
    expect(bare.reg('rax')).toBe(0x41n);
    expect(bare.machine.run({ until })).toEqual({ kind: 'poweroff' });
  }
  bare.machine.restore(start);
  bare.machine.inject(0, { nmi: true });
  const pending = bare.machine.snapshot();
  expect(bare.stoppedIn()).toBe(2);
  expect(bare.cpu.state.nmiBlocked).toBe(true);
  bare.machine.restore(pending);
  expect([bare.cpu.nmiPending, bare.cpu.state.nmiBlocked]).toEqual([true, false]);
  expect(bare.stoppedIn()).toBe(2);
  bare.close();
});

test('pages of a long run are in the snapshot, whatever their number', async () => {
  const bare = new Bare();
  await bare.code(`mov $${AT.userStack}, %edi\nmov $0x80000, %ecx\nmov $0x55, %al\nrep stosb\nhlt`);
  for (let page = AT.userStack >> 12; page < (AT.userStack + 0x80000) >> 12; page++)
    bare.put64(page * 4096, BigInt(page));
  const before = bare.machine.snapshot();
  bare.machine.run({ budget: 0x80000 + 10 });
  expect(bare.get64(AT.userStack + 0x7fff8)).toBe(0x5555_5555_5555_5555n);
  const after = bare.machine.snapshot();
  bare.machine.restore(before);
  expect(bare.get64(AT.userStack + 0x7f000)).toBe(BigInt((AT.userStack + 0x7f000) >> 12));
  bare.machine.restore(after);
  expect(bare.get64(AT.userStack + 0x7fff8)).toBe(0x5555_5555_5555_5555n);
  bare.close();
});

test('a snapshot of a machine that has powered off is one of an ended machine', async () => {
  const bare = new Bare();
  const running = bare.machine.snapshot();
  await bare.code('mov $0x604, %edx; mov $0x2000, %eax; outw %ax, %dx; hlt');
  expect(bare.machine.run({ budget: 100 })).toEqual({ kind: 'poweroff' });
  const ended = bare.machine.snapshot();
  bare.machine.restore(running);
  bare.machine.restore(ended);
  expect(bare.machine.run({ budget: 100 })).toEqual({ kind: 'poweroff' });
  bare.close();
});
