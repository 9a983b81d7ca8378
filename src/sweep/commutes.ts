/**
 * Which instructions an event may come before or behind without a difference: those that touch general registers and arithmetic flags
 * only. A handler saves and restores these, which is checked by itself (the user's registers, the kernel's GS and stack);
 * it reads the interrupted ones to report them, and reports are no part of an end state. RSP and RBP are not among them: a handler's
 * frame lies at the one, and stacks are walked from the other. docs/sweep.md has the argument in full.
 */
import type { Disassembler } from '../asm/capstone.js';

const LONGEST_INSTRUCTION = 15;

export { LONGEST_INSTRUCTION };

/** Mnemonics in AT&T syntax, with or without a size suffix. Not here: division (#DE), CLD and STD (handlers look at DF), IN, HLT, PAUSE. */
const REGISTER_WORK =
  /^(mov(abs|[sz][bwl]{1,2}|slq|[sz]x)?|lea|add|adc|sub|sbb|and|or|xor|not|neg|inc|dec|cmp|test|imul|mul|bswap|bt[csr]?|bs[fr]|(lz|tz|pop)cnt|sh[lr]d?|sa[lr]|ro[lr]|rc[lr]|set\w+|cmov\w+|xchg|c[bw]t[lw]|cltq|cqto|cltd|clc|stc|cmc|nop|endbr64)[bwlq]?$/;
const JUMP = /^j\w+$/;
/** General registers and constants; a segment, control or debug register is none of them. */
const OPERAND =
  /^(\$-?(0x)?[0-9a-f]+|%(r([a-d]x|[sd]i|[bs]p|\d+[bwd]?)|e([a-d]x|[sd]i|[bs]p)|[a-d][xlh]|[sd]il?|[bs]pl?))$/;
/** RSP, RBP and their parts. */
const STACK = /^%([re]?[sb]p|[sb]pl)$/;
/** They write none of their operands. */
const READERS = /^(cmp|test|bt)[bwlq]?$/;
const TARGET = /^(0x)?[0-9a-f]+$/;

/** Whether the first instruction of `code` changes nothing but general registers, arithmetic flags and RIP, and can fault in nothing but its fetch. */
export function commutes(decoder: Disassembler, code: Uint8Array, address: bigint): boolean {
  const { value } = decoder.decode(code, address).next();
  if (value === undefined) return false;
  const { mnemonic, operands } = value;
  if (JUMP.test(mnemonic)) return TARGET.test(operands) || OPERAND.test(operands.replace(/^\*/, ''));
  if (!REGISTER_WORK.test(mnemonic)) return false;
  if (mnemonic.startsWith('nop') || mnemonic === 'endbr64') return true;
  const each = splitOperands(operands);
  const written = READERS.test(mnemonic) ? [] : mnemonic.startsWith('xchg') ? each : each.slice(-1);
  if (written.some((operand) => STACK.test(operand))) return false;
  if (mnemonic.startsWith('lea')) return OPERAND.test(each.at(-1) ?? '');
  return each.every((operand) => OPERAND.test(operand));
}

/** At the commas outside of parentheses. */
const splitOperands = (operands: string): string[] =>
  operands === '' ? [] : operands.split(/,(?![^(]*\))/).map((operand) => operand.trim());
