/** Registers as gdb's `info registers` prints them. */
import type { CpuRegisters, RegisterName } from '../schedule/registers.js';

const NAME_WIDTH = 15;
const HEX_WIDTH = 19;
/** From bit 0 on (SDM 1, "EFLAGS Register", 3.4.3). */
const FLAGS = [
  'CF', '', 'PF', '', 'AF', '', 'ZF', 'SF', 'TF', 'IF', 'DF',
  'OF', '', '', 'NT', '', 'RF', 'VM', 'AC', 'VIF', 'VIP', 'ID',
]; // biome-ignore format: eleven to a line
const ADDRESSES: ReadonlySet<RegisterName> = new Set(['rsp', 'rbp']);

/** One line a register. `symbol` names the instruction. */
export function registerText(registers: CpuRegisters, symbol: (rip: bigint) => string): string {
  return registers
    .map(([name, value]) => {
      const hex = `0x${value.toString(16)}`;
      return `${name.padEnd(NAME_WIDTH)}${hex.padEnd(HEX_WIDTH)}${natural(name, value, hex, symbol)}\n`;
    })
    .join('');
}

function natural(name: RegisterName, value: bigint, hex: string, symbol: (rip: bigint) => string): string {
  if (name === 'eflags') {
    const set = FLAGS.filter((flag, bit) => flag !== '' && ((value >> BigInt(bit)) & 1n) === 1n);
    return `[ ${set.map((flag) => `${flag} `).join('')}]`;
  }
  if (name === 'rip') return `${hex} <${symbol(value)}>`;
  return ADDRESSES.has(name) ? hex : String(BigInt.asIntN(64, value));
}
