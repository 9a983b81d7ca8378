/** Numbers of the ELF format (System V gABI, "Object Files", chapter 4, and "Program Loading", chapter 5). */

export const ELF_MAGIC = 0x7f454c46;
export const EI_CLASS = 4;
export const EI_DATA = 5;
export const ELFDATA2LSB = 1;
export const EV_CURRENT = 1;

export const ET = { NONE: 0, REL: 1, EXEC: 2, DYN: 3, CORE: 4 } as const;
export const EM = { I386: 3, X86_64: 62 } as const;

export const PT = { NULL: 0, LOAD: 1, DYNAMIC: 2, INTERP: 3, NOTE: 4 } as const;
export const PF = { X: 1, W: 2, R: 4 } as const;
export const PN_XNUM = 0xffff;

export const SHT = { NULL: 0, PROGBITS: 1, SYMTAB: 2, STRTAB: 3, NOTE: 7, NOBITS: 8, DYNSYM: 11 } as const;
export const SHF = { WRITE: 1n, ALLOC: 2n, EXECINSTR: 4n, COMPRESSED: 0x800n } as const;
export const SHN = { UNDEF: 0, LORESERVE: 0xff00, ABS: 0xfff1, COMMON: 0xfff2, XINDEX: 0xffff } as const;

export const SYMBOL_TYPES: Readonly<Record<number, SymbolType>> = {
  0: 'notype',
  1: 'object',
  2: 'func',
  3: 'section',
  4: 'file',
  5: 'common',
  6: 'tls',
  10: 'ifunc',
};
export type SymbolType =
  | 'notype'
  | 'object'
  | 'func'
  | 'section'
  | 'file'
  | 'common'
  | 'tls'
  | 'ifunc'
  | 'other';

export const SYMBOL_BINDINGS: Readonly<Record<number, SymbolBinding>> = {
  0: 'local',
  1: 'global',
  2: 'weak',
  10: 'unique',
};
export type SymbolBinding = 'local' | 'global' | 'weak' | 'unique' | 'other';
