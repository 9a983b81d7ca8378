/**
 * Which directives a snippet may use. Keystone drops, misreads or dies of others, some of them without a word, so only
 * those that are proved against GNU as (test/asm/keystone.test.ts) are let through.
 */
export const DIRECTIVES: ReadonlySet<string> = new Set(
  (
    '.macro .endm .if .ifdef .ifndef .else .elseif .endif .rept .irp .endr .equ .set ' +
    '.quad .long .int .word .short .byte .zero .skip .space .fill .ascii .asciz .string ' +
    '.align .balign .p2align .code16 .code32 .code64 .globl .global'
  ).split(' '),
);

/** Directives that open a block (1) or close one (-1). */
export const BLOCK_DEPTH: Readonly<Record<string, number>> = {
  '.macro': 1,
  '.endm': -1,
  '.if': 1,
  '.ifdef': 1,
  '.ifndef': 1,
  '.endif': -1,
  '.rept': 1,
  '.irp': 1,
  '.endr': -1,
};

const ONE_PIECE = 'leave it out, a snippet is one piece at one address (data may follow the code)';
const NO_DEBUG = 'leave it out, a snippet has no debug information';
const NO_OUTPUT = 'leave it out, it would be ignored without a word';

/** What to write instead of a statement that is not taken, by its first word. */
const INSTEAD: Readonly<Record<string, string>> = {
  '.section': ONE_PIECE,
  '.pushsection': ONE_PIECE,
  '.popsection': ONE_PIECE,
  '.previous': ONE_PIECE,
  '.text': ONE_PIECE,
  '.data': ONE_PIECE,
  '.bss': ONE_PIECE,
  '.org': 'write .skip with the number of bytes',
  '.loc': NO_DEBUG,
  '.file': NO_DEBUG,
  '.type': NO_DEBUG,
  '.size': NO_DEBUG,
  '.error': NO_OUTPUT,
  '.warning': NO_OUTPUT,
  '.print': NO_OUTPUT,
  '.include': 'put its text here',
  '.incbin': 'write its bytes with .byte',
  endbr64: 'write .byte 0xf3, 0x0f, 0x1e, 0xfa',
  endbr32: 'write .byte 0xf3, 0x0f, 0x1e, 0xfb',
};

/** Why a statement that begins with `head` is not taken and what to write; undefined when it may pass. */
export function refusal(head: string, operands: string): string | undefined {
  const instead = INSTEAD[head];
  if (instead !== undefined) return instead;
  if (head.startsWith('.cfi_')) return NO_DEBUG;
  if (head.startsWith('.') && !DIRECTIVES.has(head)) return `use one of ${[...DIRECTIVES].join(' ')}`;
  if (/^l(jmp|call)[wlq]?$/.test(head) && operands.startsWith('$')) {
    return 'push selector and offset and use lret, or write its bytes';
  }
  return undefined;
}
