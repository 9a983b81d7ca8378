/** The doors between the rooms: a broken import is refused by the linter, which names the room to use instead. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'unwindlab-rules-'));
  copyFileSync('.oxlintrc.json', join(folder, '.oxlintrc.json'));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the linter says about a file that holds only this line. */
function lint(file: string, line: string): { status: number | null; output: string } {
  const path = join(folder, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${line}\nexport { x };\n`);
  const { status, stdout } = spawnSync(resolve('node_modules/.bin/oxlint'), ['--format=json', path], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, output: stdout };
}

/** FILE, IMPORT, and what the message must name. */
const BROKEN: readonly (readonly [file: string, imported: string, room: RegExp])[] = [
  ['emu/devices/clock.ts', '../../src/asm/keystone.js', /imports nothing from src.*Move .* into emu/],
  ['emu/cpu/native.ts', 'koffi', /Only emu\/engine calls native code.*Engine or HostMemory/],
  ['emu/engine/peek.ts', '../memory/guest-memory.js', /innermost room.*EngineClient/],
  ['emu/engine/tool.ts', '../../src/lab/open.js', /imports nothing from src/],
  ['src/unwind/again.ts', '../trace/stacks.js', /src\/lab joins them/],
  ['src/trace/again.ts', '../unwind/stitch.js', /src\/lab joins them/],
  ['src/trace/live.ts', '../../emu/machine.js', /pure: let src\/lab pass in/],
  ['src/explore/live.ts', '../../emu/machine.js', /pure: let src\/lab pass in/],
  ['src/unwind/up.ts', '../lab/kernel.js', /Doors open inwards: cli -> lab -> /],
  ['src/asm/up.ts', '../cli/main.js', /Doors open inwards/],
  ['src/guest/join.ts', '../unwind/walk.js', /Let src\/lab join the rooms/],
  ['src/guest/native.ts', 'koffi', /Only emu\/engine calls native code/],
  ['src/schedule/guest.ts', '../lab/open.js', /schedule imports only emu/],
  ['src/schedule/patch.ts', '../asm/patch.js', /schedule imports only emu/],
  [
    'src/sweep/rules.ts',
    '../invariants/unwind.js',
    /knows no guest and no invariant.*Let src\/lab hand it a Monitor/,
  ],
  ['src/sweep/layout.ts', '../guest/layout.js', /sweep imports schedule, asm and emu/],
  ['src/sweep/up.ts', '../lab/sweep.js', /sweep imports schedule, asm and emu/],
  ['src/explain/names.ts', '../trace/syscall-names.js', /let src\/lab pass in the rest/],
  ['src/explain/assets.ts', 'node:fs', /src\/lab reads files, src\/cli prints/],
  ['src/invariants/again.ts', '../sweep/sweep.js', /knows its guest and no sweep.*Let src\/lab hand it/],
  ['src/invariants/up.ts', '../lab/open.js', /invariants imports guest, unwind, asm and emu/],
  ['src/invariants/native.ts', 'koffi', /Only emu\/engine calls native code/],
  ['src/linux/live.ts', '../../emu/machine.js', /read from bytes.*Let src\/lab join it to a machine/],
  ['src/linux/views.ts', '../guest/task.js', /linux imports only emu\/boot/],
  ['src/linux/native.ts', 'koffi', /Only emu\/engine calls native code/],
  ['src/gdb/names.ts', '../guest/task.js', /gdb moves a machine and knows no guest/],
  ['src/gdb/up.ts', '../lab/open.js', /imports only schedule and emu/],
  ['src/gdb/native.ts', 'koffi', /Only emu\/engine calls native code/],
  ['src/lab/print.ts', '../cli/outcome.js', /Only src\/cli prints and exits/],
  ['src/lab/colour.ts', 'picocolors', /only src\/cli talks to the terminal/],
  ['src/cli/native.ts', 'koffi', /Only emu\/engine calls native code/],
];

it.each(BROKEN)('%s may not import %s', (file, imported, room) => {
  const { status, output } = lint(file, `import { x } from '${imported}';`);
  expect(output).toMatch(room);
  expect(status).toBe(1);
});

/** Doors that are open, and types, which go through walls. */
const ALLOWED: readonly (readonly [file: string, line: string])[] = [
  ['emu/engine/native.ts', "import x from 'koffi';"],
  ['emu/engine/types.ts', "import type { x } from '../memory/guest-memory.js';"],
  ['emu/cpu/inside.ts', "import { x } from '../engine/engine.js';"],
  ['src/unwind/types.ts', "import type { x } from '../trace/stacks.js';"],
  ['src/trace/types.ts', "import type { x } from '../../emu/machine.js';"],
  ['src/asm/inward.ts', "import { x } from '../../emu/boot/elf.js';"],
  ['src/schedule/inward.ts', "import { x } from '../../emu/machine.js';"],
  ['src/schedule/beside.ts', "import { x } from './schedule.js';"],
  ['src/sweep/inward.ts', "import { x } from '../schedule/apply.js';"],
  ['src/sweep/code.ts', "import { x } from '../asm/capstone.js';"],
  ['src/sweep/machine.ts', "import { x } from '../../emu/cpu/vcpu.js';"],
  ['src/explain/inward.ts', "import { x } from '../schedule/apply.js';"],
  ['src/explain/types.ts', "import type { x } from '../sweep/monitor.js';"],
  ['src/invariants/types.ts', "import type { x } from '../sweep/monitor.js';"],
  ['src/invariants/inward.ts', "import { x } from '../unwind/walk.js';"],
  ['src/linux/inward.ts', "import { x } from '../../emu/boot/linux-header.js';"],
  ['src/linux/beside.ts', "import { x } from './kallsyms.js';"],
  ['src/linux/types.ts', "import type { x } from '../../emu/machine.js';"],
  ['src/gdb/inward.ts', "import { x } from '../schedule/apply.js';"],
  ['src/gdb/machine.ts', "import { x } from '../../emu/machine.js';"],
  ['src/lab/inward.ts', "import { x } from '../trace/stacks.js';"],
  ['src/cli/inward.ts', "import { x } from '../lab/open.js';"],
];

it.each(ALLOWED)('%s: %s is allowed', (file, line) => {
  expect(lint(file, line)).toMatchObject({ status: 0 });
});
