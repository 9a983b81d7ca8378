/**
 * Boots the kernel of this package with a program and tells each system call when it happens.
 *
 *     $ node examples/system-calls.mjs
 *     unwindlab kernel, unwind v13-06
 *     CPU 0: write, called by main
 *     hello, world
 *     CPU 0: exit_group, called by _start
 *     poweroff
 */
import { openGuest, openImage } from 'unwindlab';

const NAMES = new Map([
  [1, 'write'],
  [231, 'exit_group'],
]);
const print = (line) => process.stdout.write(`${line}\n`);

const { symbols } = openImage('@hello');
const { machine } = openGuest(
  { image: '@kernel', modules: ['@hello'] },
  { cpus: 2, console: (byte) => process.stdout.write(String.fromCharCode(byte)) },
);
machine.events.on('syscall', ({ cpu, number, rip }) => {
  print(`CPU ${cpu}: ${NAMES.get(number) ?? number}, called by ${symbols.resolve(rip)?.name}`);
});
print(machine.run().kind);
machine.close();
