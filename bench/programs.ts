/**
 * Guest programs whose count is part of their code: QEMU gives a boot module no arguments, so a length that varies cannot
 * come from the command line. The loops are those of guest-user/compute.c and guest-user/roundtrip.c.
 */
import { assemble } from '../src/asm/keystone.js';

const BASE = 0x40_0000n;
const FILE_HEADER = 64;
const PROGRAM_HEADER = 56;
const CODE_AT = FILE_HEADER + PROGRAM_HEADER;
const SYSTEM_CALL = { clone: 56, wait4: 61, gettid: 186, setAffinity: 203, exitGroup: 231 } as const;
const SIGCHLD = 17;
/** Instructions of one turn of the loop in `compute`. */
const LOOP = 10;

const call = (name: keyof typeof SYSTEM_CALL): string => `mov $${SYSTEM_CALL[name]}, %eax\nsyscall\n`;
const EXIT = `xor %edi, %edi\n${call('exitGroup')}`;

/** `count` system calls that do nothing, one after the other. */
export const systemCalls = (count: number): Promise<Uint8Array> =>
  program(`
    mov $${count}, %ebx
turn:
    ${call('gettid')}
    dec %ebx
    jnz turn
    ${EXIT}`);

/** `count` instructions of arithmetic, a load, a store and a branch. */
export const compute = (count: number): Promise<Uint8Array> => program(`${computing(count)}\n${EXIT}`);

/** Parent and child, on CPU 0 and CPU 1, execute `count` instructions each. */
export const computeTwice = (count: number): Promise<Uint8Array> =>
  program(`
    mov $${SIGCHLD}, %edi
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    xor %r8d, %r8d
    ${call('clone')}
    mov %rax, %rbp              # 0 in the child
    cmp $1, %rax
    mov $1, %ecx
    adc $0, %ecx
    push %rcx                   # the mask of CPUs: 1 for the parent, 2 for the child
    xor %edi, %edi
    mov $8, %esi
    mov %rsp, %rdx
    ${call('setAffinity')}
    ${computing(count)}
    test %rbp, %rbp
    jz done
    mov $-1, %rdi
    xor %esi, %esi
    xor %edx, %edx
    xor %r10d, %r10d
    ${call('wait4')}
done:
    ${EXIT}`);

/** The code of `compute` alone; it needs a stack. */
export const computing = (count: number): string => `
    push $1
    mov %rsp, %rsi
    mov $${Math.ceil(count / LOOP)}, %edi
round:
    mov (%rsi), %rax
    lea (%rax,%rax,4), %rax
    add $7, %rax
    mov %rax, %rdx
    shr $29, %rdx
    xor %rdx, %rax
    add %rdi, %rax
    mov %rax, (%rsi)
    dec %rdi
    jnz round`;

/** A static ELF64 file of one executable segment that holds the headers and the code. */
async function program(source: string): Promise<Uint8Array> {
  const { bytes: code } = await assemble(source, { address: BASE + BigInt(CODE_AT) });
  const file = Buffer.alloc(CODE_AT + code.length);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(62, 18); // EM_X86_64
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BASE + BigInt(CODE_AT), 24); // e_entry
  file.writeBigUInt64LE(BigInt(FILE_HEADER), 32); // e_phoff
  file.writeUInt16LE(FILE_HEADER, 52);
  file.writeUInt16LE(PROGRAM_HEADER, 54);
  file.writeUInt16LE(1, 56); // e_phnum
  file.writeUInt32LE(1, FILE_HEADER); // PT_LOAD
  file.writeUInt32LE(5, FILE_HEADER + 4); // PF_R | PF_X
  file.writeBigUInt64LE(BASE, FILE_HEADER + 16);
  file.writeBigUInt64LE(BASE, FILE_HEADER + 24);
  file.writeBigUInt64LE(BigInt(file.length), FILE_HEADER + 32);
  file.writeBigUInt64LE(BigInt(file.length), FILE_HEADER + 40);
  file.writeBigUInt64LE(0x1000n, FILE_HEADER + 48);
  file.set(code, CODE_AT);
  return file;
}
