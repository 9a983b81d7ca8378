import { Command, Option } from 'commander';
import pc from 'picocolors';
import { type ElfFile, type ElfSymbol, SHF, SHN, SHT } from '../../emu/boot/elf.js';
import { ImageError } from '../../emu/boot/image-error.js';
import { openImage } from '../lab/open.js';
import { symbolFile } from '../linux/symbol-file.js';
import { replaceFile } from './output-file.js';

interface SymbolsOptions {
  readonly sort: 'address' | 'name' | 'size';
  readonly json?: boolean;
  readonly elf?: string;
}

const compare = (a: bigint | string, b: bigint | string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Orders of the table; equal symbols stay in the order of the file. */
const ORDERS: Readonly<Record<SymbolsOptions['sort'], (a: ElfSymbol, b: ElfSymbol) => number>> = {
  address: (a, b) => compare(a.value, b.value) || compare(a.name, b.name),
  name: (a, b) => compare(a.name, b.name) || compare(a.value, b.value),
  size: (a, b) => compare(a.size, b.size) || compare(a.value, b.value),
};

/** `unwindlab symbols`: the symbol table of an image in the columns of `nm -n -S`. */
export function symbolsCommand(): Command {
  return new Command('symbols')
    .description('list the symbols of an image: address, size, kind as in nm, name')
    .argument('<image>', 'ELF file, Linux bzImage, or @NAME for an image of this package')
    .addOption(
      new Option('--sort <order>', 'order of the lines').choices(Object.keys(ORDERS)).default('address'),
    )
    .option('--json', 'one object a line')
    .option('--elf <file>', 'write them as an ELF file instead, for gdb')
    .action(runSymbols);
}

function runSymbols(path: string, options: SymbolsOptions): void {
  const { file } = openImage(path);
  if (file.symbols.length === 0)
    throw new ImageError(
      `${path}: expected a symbol table or a Linux kernel's own names (kallsyms), found neither: the image was stripped`,
    );
  if (options.elf !== undefined) {
    replaceFile(options.elf, symbolFile(file));
    return;
  }
  const symbols = file.symbols
    .filter(({ name, type }) => name !== '' && type !== 'section' && type !== 'file')
    .sort(ORDERS[options.sort]);
  for (const symbol of symbols) {
    process.stdout.write(`${options.json ? JSON.stringify(toJson(symbol, file)) : format(symbol, file)}\n`);
  }
}

const column = (value: bigint): string => value.toString(16).padStart(16, '0');

function format(symbol: ElfSymbol, file: ElfFile): string {
  const colour = process.stdout.isTTY ? pc.yellow : (text: string): string => text;
  const address = symbol.section === SHN.UNDEF ? ' '.repeat(16) : column(symbol.value);
  const size = symbol.size > 0n ? `${column(symbol.size)} ` : '';
  return `${address} ${size}${kindLetter(symbol, file)} ${colour(symbol.name)}`;
}

function toJson(symbol: ElfSymbol, file: ElfFile): object {
  const { name, value, size, type, binding, section } = symbol;
  return {
    name,
    address: `0x${value.toString(16)}`,
    size: Number(size),
    kind: kindLetter(symbol, file),
    type,
    binding,
    ...(section < SHN.LORESERVE && { section: file.sections[section]?.name }),
  };
}

/** nm's letter: small for local symbols, `u` for a unique one, `w` and `v` for weak ones that are not defined. */
function kindLetter(symbol: ElfSymbol, file: ElfFile): string {
  const { binding, type, section } = symbol;
  if (section === SHN.COMMON) return 'C';
  if (type === 'ifunc') return 'i';
  if (binding === 'unique') return 'u';
  if (binding === 'weak') {
    const letter = type === 'object' ? 'v' : 'w';
    return section === SHN.UNDEF ? letter : letter.toUpperCase();
  }
  if (section === SHN.UNDEF) return 'U';
  const letter = section === SHN.ABS ? 'a' : sectionLetter(file, section);
  return binding === 'local' ? letter : letter.toUpperCase();
}

function sectionLetter(file: ElfFile, index: number): string {
  const section = file.sections[index];
  if (section === undefined) return '?';
  if ((section.flags & SHF.ALLOC) === 0n) return 'n';
  if ((section.flags & SHF.EXECINSTR) !== 0n) return 't';
  if ((section.flags & SHF.WRITE) === 0n) return 'r';
  return section.type === SHT.NOBITS ? 'b' : 'd';
}
