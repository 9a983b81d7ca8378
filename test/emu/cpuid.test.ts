/** What CPUID denies must raise #UD: an instruction whose result comes from the host would make each run another (SDM 2A, "CPUID"). */
import { expect, test } from 'vitest';
import { AT, Bare } from './bare.js';

const DENIED: readonly (readonly [string, string])[] = [
  ['rdtscp', '.byte 0x0f, 0x01, 0xf9'],
  ['rdpid', '.byte 0xf3, 0x0f, 0xc7, 0xf8'],
  ['rdrand', '.byte 0x48, 0x0f, 0xc7, 0xf0'],
  ['rdseed', '.byte 0x48, 0x0f, 0xc7, 0xf8'],
  ['xgetbv', '.byte 0x0f, 0x01, 0xd0'],
  ['rdfsbase without CR4.FSGSBASE', '.byte 0xf3, 0x48, 0x0f, 0xae, 0xc0'],
  ['clac', '.byte 0x0f, 0x01, 0xca'],
  ['pshufb', '.byte 0x0f, 0x38, 0x00, 0xc1'],
  ['popcnt', '.byte 0xf3, 0x48, 0x0f, 0xb8, 0xc1'],
  ['crc32', '.byte 0xf2, 0x48, 0x0f, 0x38, 0xf1, 0xc1'],
  ['movbe', '.byte 0x48, 0x0f, 0x38, 0xf0, 0x03'],
  ['monitor', '.byte 0x0f, 0x01, 0xc8'],
  ['vmcall', '.byte 0x0f, 0x01, 0xc1'],
  ['aesenc', '.byte 0x66, 0x0f, 0x38, 0xdc, 0xc1'],
  ['andn (VEX)', '.byte 0xc4, 0xe2, 0xf0, 0xf2, 0xc2'],
];

test.each(DENIED)('%s raises #UD', async (_name, bytes) => {
  const bare = new Bare();
  bare.gate(6, { at: AT.handlers });
  await bare.code('hlt', AT.handlers);
  await bare.code(`mov $0x30000, %ebx\n${bytes}\nhlt`);
  expect(bare.machine.run({ budget: 100 }).kind).toBe('hang');
  expect(bare.cpu.state.rip).toBe(BigInt(AT.handlers + 1));
  bare.close();
});
