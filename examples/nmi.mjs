/**
 * An NMI at every instruction boundary of get_cookie(): the machine goes back to a snapshot, takes the NMI there, lets the
 * kernel handle it, and reads the cookie that get_cookie() returns all the same.
 *
 *     $ node examples/nmi.mjs
 *     get_cookie: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x4: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x6: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0xe: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x11: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x13: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x16: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x18: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x1d: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x1f: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x27: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x2f: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x31: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x34: asm_exc_nmi, cookie 0x300000001
 *     get_cookie+0x38: asm_exc_nmi, cookie 0x300000001
 *     15 boundaries
 */
import { GPR, openGuest } from 'unwindlab';

const print = (line) => process.stdout.write(`${line}\n`);
const { machine } = openGuest({ image: '@kernel', modules: ['@hello'], commandLine: 'trace=ftrace' });
const { symbols } = machine;
const [cpu] = machine.cpus;

machine.run({ until: { symbol: 'get_cookie.begin' } });
const caller = machine.read(0, cpu.state.reg(GPR.rsp), 8).readBigUInt64LE();

let boundaries = 0;
for (; cpu.state.rip !== caller; boundaries++) {
  const boundary = machine.snapshot();
  const at = symbols.format(cpu.state.rip);
  machine.inject(0, { nmi: true });
  machine.step();
  const handler = symbols.resolve(cpu.state.rip).name;
  machine.run({ until: { address: caller } });
  print(`${at}: ${handler}, cookie 0x${cpu.state.reg(GPR.rax).toString(16)}`);
  machine.restore(boundary);
  machine.release(boundary);
  machine.step();
}
print(`${boundaries} boundaries`);
machine.close();
