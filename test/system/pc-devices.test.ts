/**
 * QEMU's TCG as the oracle for a PC's devices: a guest of some instructions that looks for each of them finds the same there and here, whatever is
 * switched off. QEMU's other kind of PC has more tables; the guest tells of what both can have.
 */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, Scratch, unwindlab } from './run.js';
import { tinyImage } from './tiny-image.js';

const QEMU = 'qemu-system-x86_64';
const hasQemu = spawnSync(QEMU, ['--version']).status === 0;

/** Prints eight digits for each question: what is read at the ports, then what ACPI's tables say. */
const SOURCE = `
  movb $0xaa, %al        # i8042: the answer to a self-test
  outb %al, $0x64
  movl $1000000, %ecx
wait: loop wait
  inb $0x60, %al
  call print_byte
  inb $0xe9, %al         # isa-debugcon
  call print_byte
  movl $0x12345678, %eax # pc-testdev: what was written, and a line
  outl %eax, $0xe0
  xorl %eax, %eax
  inl $0xe0, %eax
  call print
  inl $0xe8, %eax
  call print
  movw $0x2004, %dx
  inb %dx, %al
  call print_byte
  movw $0x510, %dx       # fw_cfg: the first byte of its signature
  xorl %eax, %eax
  outw %ax, %dx
  incl %edx
  inb %dx, %al
  call print_byte
  movb $13, %al          # rtc: its memory is valid
  outb %al, $0x70
  inb $0x71, %al
  call print_byte
  movl $0xe0000, %esi
rsdp:
  cmpl $0x20445352, (%esi)
  je found
  addl $16, %esi
  cmpl $0x100000, %esi
  jb rsdp
  jmp done
found:
  movl 16(%esi), %esi    # the RSDT: 36 bytes, then an address for each table
  movl 4(%esi), %edi
  addl %esi, %edi
  addl $36, %esi
table:
  cmpl %edi, %esi
  jae done
  movl (%esi), %ebx
  addl $4, %esi
  cmpl $0x50434146, (%ebx)
  je fadt
  cmpl $0x54455048, (%ebx)
  jne table
  movl 44(%ebx), %eax    # HPET: the id in its registers
  movl (%eax), %eax
  call print
  jmp table
fadt:
  movzwl 109(%ebx), %eax # FACP: there is an 8042
  andl $2, %eax
  call print
  jmp table
done:
  xorl %eax, %eax
  outl %eax, $0xf4
  hlt
print_byte:
  movzbl %al, %eax
print:
  movl %eax, %ebp
  movl $8, %ecx
  movw $0x3f8, %dx
digit:
  roll $4, %ebp
  movl %ebp, %eax
  andl $15, %eax
  addb $48, %al
  cmpb $58, %al
  jb put
  addb $39, %al
put:
  outb %al, %dx
  loop digit
  movb $10, %al
  outb %al, %dx
  ret
`;
/** Lines that it prints, if there is no HPET. */
const LINES = 8;

const scratch = new Scratch();
afterAll(() => scratch.remove());
let image: string;
beforeAll(async () => {
  image = scratch.write('guest.elf', await tinyImage(SOURCE));
});

interface Pc {
  /** QEMU's options. */
  readonly qemu: readonly string[];
  /** What is off here. */
  readonly off: readonly string[];
}

describe.skipIf(!hasQemu)('the devices of a pc (skipped without QEMU)', () => {
  test.each<[string, Pc]>([
    ['all of them', { qemu: ['-M', 'q35', '-debugcon', 'null', '-device', 'pc-testdev'], off: [] }],
    ['those that QEMU has by itself', { qemu: ['-M', 'q35'], off: ['isa-debugcon', 'pc-testdev'] }],
    ['the debug console, and no HPET', { qemu: ['-M', 'q35,hpet=off', '-debugcon', 'null'], off: ['hpet', 'pc-testdev'] }],
    ['the test device, and no i8042', { qemu: ['-M', 'q35,i8042=off', '-device', 'pc-testdev'], off: ['i8042', 'isa-debugcon'] }],
    ['as few as can be', { qemu: ['-M', 'q35,hpet=off,i8042=off'], off: ['hpet', 'i8042', 'isa-debugcon', 'pc-testdev'] }],
  ])('%s', async (_name, { qemu, off }) => {
    const machine = ['-accel', 'tcg', '-m', '64', '-no-reboot', '-nodefaults', '-display', 'none', '-serial', 'stdio'];
    const exit = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'];
    const there = await run(QEMU, [...machine, ...exit, ...qemu, '-kernel', image]);
    const here = await unwindlab(['boot', '--machine', 'pc', '--deterministic', ...off.flatMap((name) => ['--device', `${name}=off`]), image]);
    expect(here).toMatchObject({ stdout: there.stdout, stderr: '', status: there.status });
    expect(here.stdout.match(/^[0-9a-f]{8}$/gm)).toHaveLength(off.includes('hpet') ? LINES : LINES + 1);
  });
}); // biome-ignore format: a pc to a line
