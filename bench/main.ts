/**
 * `make bench`: measures this machine, side by side with QEMU where that is installed, and prints one table. Timing decides
 * nothing here; the exit status tells only whether everything ran.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { ffi } from '../emu/engine/ffi.js';
import { ALL } from './all.js';
import { BRIEF, FULL, IMAGES, measure, type Row } from './measure.js';
import { qemuVersion } from './qemu.js';
import { table } from './table.js';

const HELP = `usage: node dist/bench/main.js [--filter TEXT] [--repetitions N] [--brief] [--json]

  --filter TEXT     only benchmarks whose name contains TEXT
  --repetitions N   samples of each; default ${FULL.repetitions}
  --brief           the least work that runs everything once; its numbers mean nothing
  --json            one object instead of the table
`;

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    repetitions: { type: 'string' },
    brief: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write(HELP);
} else {
  const chosen = ALL.filter(({ name }) => name.includes(values.filter));
  const repetitions = Number(values.repetitions ?? FULL.repetitions);
  if (chosen.length === 0 || !(repetitions >= 1)) {
    process.stderr.write(
      chosen.length === 0 ? `bench: expected a part of a name, found "${values.filter}"\n` : HELP,
    );
    process.exit(2);
  }
  const effort = values.brief ? BRIEF : { ...FULL, repetitions };
  const qemu = qemuVersion();
  const host = {
    cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    node: process.version,
    libunicorn: ffi().library.version,
    qemu: qemu ?? 'not installed',
  };
  const rows: Row[] = [];
  for (const benchmark of chosen) {
    if (!values.json) process.stderr.write(`${benchmark.name} ...\n`);
    rows.push(await measure(benchmark, { images: IMAGES, effort, qemu: qemu !== undefined }));
  }
  const head = `${host.cpu}, Node ${host.node}, libunicorn ${host.libunicorn}, QEMU: ${host.qemu}; median and median deviation of ${effort.repetitions}\n\n`;
  process.stdout.write(values.json ? `${JSON.stringify({ host, rows }, null, 2)}\n` : head + table(rows));
}
