/** Translated code fills the engine's buffer again and again: in turns of one instruction each one is translated as the beginning of a block. */
import { expect, test } from 'vitest';
import { openGuest } from '../../src/lab/open.js';

test('two CPUs in turns of one instruction run a program to its end, as in longer turns', () => {
  const printed = [1, 2].map((turn) => {
    let console = '';
    const { machine } = openGuest(
      {
        image: 'build/kernel-v6.19.elf',
        modules: ['build/user/tracers.elf'],
        commandLine: 'trace=ftrace',
      },
      {
        cpus: 2,
        turn,
        console: (byte) => {
          console += String.fromCharCode(byte);
        },
      },
    );
    expect(machine.run()).toEqual({ kind: 'poweroff' });
    machine.close();
    return console;
  });
  expect(printed[0]).toContain('turns');
  expect(printed[1]).toBe(printed[0]);
});
