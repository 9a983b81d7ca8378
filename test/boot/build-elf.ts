/** Builds small ELF files with the system's gcc and binutils for the tests that compare with them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TOOLS = ['gcc', 'as', 'ld', 'nm', 'readelf', 'objdump'] as const;

/** The tools that are missing on this machine; the tests that need them are skipped and say so. */
export const missingTools = TOOLS.filter((tool) => spawnSync(tool, ['--version']).error !== undefined);
export const toolsNote = missingTools.length > 0 ? ` (skipped: no ${missingTools.join(', ')})` : '';

/** A folder of its own, removed with `remove`. */
export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), 'unwindlab-elf-'));

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, text: string | Uint8Array): string {
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  read(name: string): Uint8Array {
    return new Uint8Array(readFileSync(this.path(name)));
  }

  /** Runs a tool in the folder and returns what it printed. */
  run(tool: string, ...args: string[]): string {
    return execFileSync(tool, args, {
      cwd: this.folder,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: 'pipe',
    });
  }

  /** Assembles and links `source` into `name`; returns the file's bytes. */
  link(name: string, source: string, ...ldArgs: string[]): Uint8Array {
    this.write(`${name}.S`, source);
    this.run('gcc', '-g', '-c', `${name}.S`, '-o', `${name}.o`);
    this.run('ld', '-z', 'noexecstack', ...ldArgs, '-o', name, `${name}.o`);
    return this.read(name);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A small image with all that a kernel image has: a note, code, constants, windows, aliases, data and bss. */
export const SAMPLE = `
        .pushsection .note.pvh, "a", @note
        .balign 4
        .long 4, 8, 18
        .asciz "Xen"
        .quad start
        .popsection
        .set TASK_pid, 0x10
        .globl TASK_size
        .set TASK_size, 0x400080
        .text
        .globl start
start:  nop
        jmp work
        .size start, . - start
        .balign 16
        .globl work, work_alias
        .type work, @function
        .type work_alias, @function
work:
work_alias:
        push %rbp
work.begin:
        mov counter(%rip), %rax
        lock cmpxchg %rdx, counter(%rip)
work.end:
        pop %rbp
        ret
        .size work, . - work
        .size work_alias, . - work_alias
        .balign 16
unsized:
        hlt
        jmp unsized
        .data
        .globl counter
        .type counter, @object
counter: .quad 1
        .size counter, 8
        .bss
        .weak buffer
        .type buffer, @object
buffer: .skip 0x1000
        .size buffer, 0x1000
`;
