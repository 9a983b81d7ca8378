/**
 * The registers as gdb is told of them: one table, from which the target description and the packets g, G, p and P follow. The first two
 * features have the names and the order that gdb asks of x86-64 (GDB manual, "i386 Features", appendix G.5.5); the system registers are named as QEMU's
 * i386 target names them.
 */
import { MSR } from '../../emu/cpu/architecture.js';
import type { Vcpu } from '../../emu/cpu/vcpu.js';
import { GPR, type Gpr, type SegmentName } from '../../emu/engine/cpu-state.js';
import { REG } from '../../emu/engine/registers.js';

export interface Register {
  readonly name: string;
  readonly bits: number;
  readonly type: string;
  readonly group?: string;
  read(cpu: Vcpu): bigint;
  /** Absent: gdb may only read it. */
  write?(cpu: Vcpu, value: bigint): void;
}

const ORDER: readonly Gpr[] = [
  'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp',
  'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
]; // biome-ignore format: eight to a line
const SELECTORS: readonly SegmentName[] = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'];
const BYTE_BITS = 8;

const general = (name: Gpr): Register => ({
  name,
  bits: 64,
  type: name === 'rsp' || name === 'rbp' ? 'data_ptr' : 'int64',
  read: ({ state }) => state.reg(GPR[name]),
  write: ({ state }, value) => state.setReg(GPR[name], value),
});

const selector = (name: SegmentName): Register => ({
  name,
  bits: 32,
  type: 'int32',
  read: ({ state }) => BigInt(state.selector(name)),
});

/** A register that the engine's own interface reads and writes, by its number there. */
const engine = (
  name: string,
  number: number,
  bits: number,
  type: string,
  more: Partial<Register> = {},
): Register => ({
  name,
  bits,
  type,
  read: ({ state }) => fromLittle(state.engineRegister(number, bits / BYTE_BITS)),
  write: ({ state }, value) => state.setEngineRegister(number, toLittle(value, bits / BYTE_BITS)),
  ...more,
});

/** Of the floating-point unit: gdb has 32 bits where the unit has 16. */
const control = (name: string, number: number): Register => {
  const { read } = engine(name, number, 16, 'int');
  return { name, bits: 32, type: 'int', group: 'float', read };
};
const eightOf = (make: (index: number) => Register): Register[] =>
  Array.from({ length: 8 }, (_, i) => make(i));

const base = (name: 'fs' | 'gs'): Register => ({
  name: `${name}_base`,
  bits: 64,
  type: 'int',
  read: ({ state }) => state.segment(name).base,
  write: ({ state }, value) => state.setSegment(name, { ...state.segment(name), base: value }),
});

const system = (name: string, read: Register['read'], type = 'int64'): Register => ({
  name,
  bits: 64,
  type,
  group: 'system',
  read,
});

interface Feature {
  readonly name: string;
  /** Definitions of types. */
  readonly types: string;
  readonly registers: readonly Register[];
}

const flags = (id: string, size: number, bits: Readonly<Record<string, number>>): string =>
  [
    `<flags id="${id}" size="${size}">`,
    ...Object.entries(bits).map(([name, bit]) => `<field name="${name}" start="${bit}" end="${bit}"/>`),
    '</flags>',
  ].join('\n');

const VECTOR_TYPES = `<vector id="v4f" type="ieee_single" count="4"/>
<vector id="v2d" type="ieee_double" count="2"/>
<vector id="v16i8" type="int8" count="16"/>
<vector id="v8i16" type="int16" count="8"/>
<vector id="v4i32" type="int32" count="4"/>
<vector id="v2i64" type="int64" count="2"/>
<union id="vec128">
<field name="v4_float" type="v4f"/>
<field name="v2_double" type="v2d"/>
<field name="v16_int8" type="v16i8"/>
<field name="v8_int16" type="v8i16"/>
<field name="v4_int32" type="v4i32"/>
<field name="v2_int64" type="v2i64"/>
<field name="uint128" type="uint128"/>
</union>`;

const FEATURES: readonly Feature[] = [
  {
    name: 'org.gnu.gdb.i386.core',
    types: flags('i386_eflags', 4, {
      CF: 0, PF: 2, AF: 4, ZF: 6, SF: 7, TF: 8, IF: 9, DF: 10, OF: 11, NT: 14, RF: 16, VM: 17, AC: 18, VIF: 19, VIP: 20, ID: 21,
    }), // biome-ignore format: SDM 1, figure 3-8
    registers: [
      ...ORDER.map(general),
      {
        name: 'rip',
        bits: 64,
        type: 'code_ptr',
        read: ({ state }) => state.rip,
        write: ({ state }, value) => {
          state.rip = value;
        },
      },
      {
        name: 'eflags',
        bits: 32,
        type: 'i386_eflags',
        read: ({ state }) => BigInt(state.rflags),
        write: ({ state }, value) => {
          state.rflags = Number(value);
        },
      },
      ...SELECTORS.map(selector),
      ...eightOf((i) => engine(`st${i}`, REG.ST0 + i, 80, 'i387_ext')),
      control('fctrl', REG.FPCW),
      control('fstat', REG.FPSW),
      control('ftag', REG.FPTAG),
      control('fiseg', REG.FCS),
      control('fioff', REG.FIP),
      control('foseg', REG.FDS),
      control('fooff', REG.FDP),
      control('fop', REG.FOP),
    ],
  },
  {
    name: 'org.gnu.gdb.i386.sse',
    types: `${VECTOR_TYPES}\n${flags('i386_mxcsr', 4, {
      IE: 0, DE: 1, ZE: 2, OE: 3, UE: 4, PE: 5, DAZ: 6, IM: 7, DM: 8, ZM: 9, OM: 10, UM: 11, PM: 12, FZ: 15,
    })}`, // biome-ignore format: SDM 1, figure 10-3
    registers: [
      ...Array.from({ length: 16 }, (_, i) => engine(`xmm${i}`, REG.XMM0 + i, 128, 'vec128')),
      engine('mxcsr', REG.MXCSR, 32, 'i386_mxcsr', { group: 'vector' }),
    ],
  },
  { name: 'org.gnu.gdb.i386.segments', types: '', registers: [base('fs'), base('gs')] },
  {
    name: 'unwindlab.i386.system',
    types: [
      flags('i386_cr0', 8, {
        PE: 0,
        MP: 1,
        EM: 2,
        TS: 3,
        ET: 4,
        NE: 5,
        WP: 16,
        AM: 18,
        NW: 29,
        CD: 30,
        PG: 31,
      }),
      flags('i386_cr4', 8, {
        VME: 0, PVI: 1, TSD: 2, DE: 3, PSE: 4, PAE: 5, MCE: 6, PGE: 7, PCE: 8, OSFXSR: 9, OSXMMEXCPT: 10, UMIP: 11, FSGSBASE: 16, PCIDE: 17, OSXSAVE: 18, SMEP: 20, SMAP: 21,
      }), // biome-ignore format: SDM 3A, 2.5
      flags('i386_efer', 8, { SCE: 0, LME: 8, LMA: 10, NXE: 11 }),
    ].join('\n'),
    registers: [
      {
        ...system('k_gs_base', (cpu) => cpu.readEngineMsr(MSR.KERNEL_GS_BASE)),
        write: (cpu, value) => cpu.writeEngineMsr(MSR.KERNEL_GS_BASE, value),
      },
      system('cr0', ({ state }) => state.cr(0), 'i386_cr0'),
      system('cr2', ({ state }) => state.cr(2)),
      system('cr3', ({ state }) => state.cr(3)),
      system('cr4', ({ state }) => state.cr(4), 'i386_cr4'),
      system('cr8', ({ apic }) => BigInt(apic.taskPriority >>> 4)),
      system('efer', ({ state }) => state.efer, 'i386_efer'),
    ],
  },
];

/** All registers, by the numbers that gdb gives them. */
export const REGISTERS: readonly Register[] = FEATURES.flatMap(({ registers }) => registers);

/** The number of the program counter. */
export const PC = REGISTERS.findIndex(({ name }) => name === 'rip');

/** The target description (GDB manual, appendix G). */
export const TARGET_XML = [
  '<?xml version="1.0"?>',
  '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
  '<target>',
  '<architecture>i386:x86-64</architecture>',
  ...FEATURES.flatMap(({ name, types, registers }) => [
    `<feature name="${name}">`,
    types,
    ...registers.map(describe),
    '</feature>',
  ]),
  '</target>',
  '',
].join('\n');

function describe({ name, bits, type, group }: Register): string {
  const inGroup = group === undefined ? '' : ` group="${group}"`;
  return `<reg name="${name}" bitsize="${bits}" type="${type}"${inGroup}/>`;
}

const bytesOf = ({ bits }: Register): number => bits / BYTE_BITS;

/** A register's value as gdb reads it: little-endian. */
export const readRegister = (register: Register, cpu: Vcpu): Buffer =>
  toLittle(register.read(cpu), bytesOf(register));

/** All registers, one behind the other. */
export const readRegisters = (cpu: Vcpu): Buffer =>
  Buffer.concat(REGISTERS.map((register) => readRegister(register, cpu)));

/** What has to be done to write a register; undefined where gdb may not, or has sent another length. */
export function writeRegister(register: Register, value: Uint8Array): ((cpu: Vcpu) => void) | undefined {
  const { write } = register;
  if (write === undefined || value.length !== bytesOf(register)) return undefined;
  const number = fromLittle(value);
  return (cpu) => write(cpu, number);
}

/** The same for all registers; those that gdb may only read stay as they are. */
export function writeRegisters(values: Uint8Array): ((cpu: Vcpu) => void) | undefined {
  const length = REGISTERS.reduce((sum, register) => sum + bytesOf(register), 0);
  if (values.length !== length) return undefined;
  const writes: ((cpu: Vcpu) => void)[] = [];
  let at = 0;
  for (const register of REGISTERS) {
    const write = writeRegister(register, values.subarray(at, at + bytesOf(register)));
    if (write !== undefined) writes.push(write);
    at += bytesOf(register);
  }
  return (cpu) => {
    for (const write of writes) write(cpu);
  };
}

function toLittle(value: bigint, length: number): Buffer {
  const digits = BigInt.asUintN(length * BYTE_BITS, value)
    .toString(16)
    .padStart(2 * length, '0');
  return Buffer.from(digits, 'hex').reverse();
}

const fromLittle = (bytes: Uint8Array): bigint =>
  BigInt(`0x${Buffer.from(bytes).reverse().toString('hex') || '0'}`);
