/** A Linux kernel's image with the names that it brings itself, as if it had a symbol table. */
import { type ElfFile, type ElfSection, type ElfSymbol, PT, SHF, SHN } from '../../emu/boot/elf.js';
import { type KernelSymbol, readKallsyms } from './kallsyms.js';

/**
 * The image with its kallsyms for symbols. They have no sizes: a symbol reaches to the next one, as the kernel itself takes it
 * (kernel/kallsyms.c, get_symbol_pos()).
 * @throws LinuxError where it has none
 */
export function withKallsyms(elf: ElfFile): ElfFile {
  const memory = elf.segments
    .filter(({ type }) => type === PT.LOAD)
    .map(({ virtualAddress, data }) => ({ address: virtualAddress, bytes: data }));
  const sections = elf.sections
    .filter(({ flags }) => (flags & SHF.ALLOC) !== 0n)
    .sort((a, b) => Number(a.address - b.address));
  let at = 0;
  const symbols = readKallsyms(memory).map((symbol) => {
    // Sorted as they are, each symbol lies in the section of the one before or in a later one. One between two belongs to the first.
    while (at + 1 < sections.length && sections[at + 1]!.address <= symbol.address) at++;
    return elfSymbol(symbol, sections[at]);
  });
  return { ...elf, symbols };
}

/** By nm's letters: capital ones are global, W and V weak, and a V is an object. */
function elfSymbol({ name, type, address }: KernelSymbol, section: ElfSection | undefined): ElfSymbol {
  const letter = type.toUpperCase();
  const isCode = section !== undefined && (section.flags & SHF.EXECINSTR) !== 0n;
  const isUntyped = letter === 'W' && !isCode;
  return {
    name,
    value: address,
    size: 0n,
    type: isUntyped ? 'notype' : isCode && letter !== 'V' ? 'func' : 'object',
    binding: letter === 'W' || letter === 'V' ? 'weak' : type === letter ? 'global' : 'local',
    section: section?.index ?? SHN.ABS,
  };
}
