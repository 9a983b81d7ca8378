import { type VirtAddr, virt } from '../memory/address.js';
import { type ElfFile, type ElfSection, type ElfSymbol, SHF, SHN } from './elf.js';
import { ImageError } from './image-error.js';

/** The symbol that an address belongs to. `size` is 0 for a label without a size. */
export interface Resolved {
  readonly name: string;
  readonly address: bigint;
  readonly offset: bigint;
  readonly size: bigint;
}

/**
 * The names of an image, both ways.
 *
 * Two kinds are kept apart: symbols that lie in the image's memory, and absolute symbols, which are constants (structure
 * offsets, sizes). A constant never resolves as an address.
 *
 * From name to address, a global symbol comes before a weak one and that before a local one; among equals the lowest
 * address is taken. From address to name, the innermost sized symbol that covers the address is taken, so labels inside
 * a function resolve to the function; of aliases a function comes before an object, global before weak before
 * local, the longer before the shorter, then the first in the order of the alphabet. Where no sized symbol covers
 * the address, the nearest label before it is taken, if it is of the same section and no sized symbol lies between.
 */
export class SymbolTable {
  /** Symbols with an address, in the order of addresses; of aliases the preferred one comes last. */
  readonly symbols: readonly ElfSymbol[];
  readonly #byName = new Map<string, ElfSymbol>();
  readonly #constants = new Map<string, bigint>();
  readonly #sized: readonly ElfSymbol[];
  /** For each sized symbol the highest end of it and of all before it. */
  readonly #reach: readonly bigint[];
  readonly #labels: readonly ElfSymbol[];
  readonly #sections: readonly ElfSection[];
  /** Why there are no names. */
  readonly #absence: string | undefined;

  /** @param absence why the file has no symbols, for the sentence that misses one */
  constructor(file: Pick<ElfFile, 'symbols' | 'sections'>, absence?: string) {
    this.#absence = absence;
    this.#sections = file.sections;
    const named = file.symbols.filter(isNamed);
    this.symbols = named.filter((symbol) => this.#inMemory(symbol)).sort(byAddress);
    for (const symbol of this.symbols) {
      const known = this.#byName.get(symbol.name);
      if (known === undefined || bindingRank(symbol) > bindingRank(known))
        this.#byName.set(symbol.name, symbol);
    }
    for (const symbol of named)
      if (symbol.section === SHN.ABS) this.#constants.set(symbol.name, symbol.value);
    this.#sized = this.symbols.filter((symbol) => symbol.size > 0n);
    this.#labels = this.symbols.filter((symbol) => symbol.size === 0n);
    let reach = 0n;
    this.#reach = this.#sized.map((symbol) => {
      const end = symbol.value + symbol.size;
      reach = end > reach ? end : reach;
      return reach;
    });
  }

  /** The symbol of this name that has an address. */
  find(name: string): ElfSymbol | undefined {
    return this.#byName.get(name);
  }

  /** The address of a symbol; undefined where there is none, and for constants. */
  lookup(name: string): VirtAddr | undefined {
    const symbol = this.#byName.get(name);
    return symbol && virt(symbol.value);
  }

  /** The value of an absolute symbol. */
  constant(name: string): bigint | undefined {
    return this.#constants.get(name);
  }

  /** The address of a symbol that must be there. @throws {ImageError} */
  require(name: string): VirtAddr {
    const address = this.lookup(name);
    if (address === undefined)
      throw this.#missing('symbol', name, this.#constants.has(name) ? 'a constant' : 'no such symbol');
    return address;
  }

  /** The value of an absolute symbol that must be there. @throws {ImageError} */
  requireConstant(name: string): bigint {
    const value = this.constant(name);
    if (value === undefined)
      throw this.#missing('constant', name, this.#byName.has(name) ? 'an address' : 'no such symbol');
    return value;
  }

  /** All absolute symbols by name. */
  get constants(): ReadonlyMap<string, bigint> {
    return this.#constants;
  }

  /** The symbol that `address` belongs to; the class says by which rule. */
  resolve(address: bigint): Resolved | undefined {
    const symbol = this.#covering(address) ?? this.#labelBefore(address);
    if (symbol === undefined) return undefined;
    return { name: symbol.name, address: symbol.value, offset: address - symbol.value, size: symbol.size };
  }

  /** `symbol`, `symbol+0x12`, or the bare address where no symbol is near. */
  format(address: bigint): string {
    const found = this.resolve(address);
    if (found === undefined) return `0x${address.toString(16)}`;
    return found.offset === 0n ? found.name : `${found.name}+0x${found.offset.toString(16)}`;
  }

  /** All symbols at exactly `address`, the preferred one last. */
  at(address: bigint): readonly ElfSymbol[] {
    const end = countUpTo(this.symbols, address);
    let start = end;
    while (start > 0 && this.symbols[start - 1]!.value === address) start--;
    return this.symbols.slice(start, end);
  }

  /** The lowest address above `address` that has a symbol. */
  next(address: bigint): bigint | undefined {
    return this.symbols[countUpTo(this.symbols, address)]?.value;
  }

  #covering(address: bigint): ElfSymbol | undefined {
    for (
      let index = countUpTo(this.#sized, address) - 1;
      index >= 0 && this.#reach[index]! > address;
      index--
    ) {
      const symbol = this.#sized[index]!;
      if (address < symbol.value + symbol.size) return symbol;
    }
    return undefined;
  }

  #labelBefore(address: bigint): ElfSymbol | undefined {
    const label = this.#labels[countUpTo(this.#labels, address) - 1];
    if (label === undefined) return undefined;
    const sizedBefore = countUpTo(this.#sized, address);
    if (sizedBefore > 0 && label.value < this.#reach[sizedBefore - 1]!) return undefined;
    const section = this.#sections[label.section]!;
    return address < section.address + section.size ? label : undefined;
  }

  #inMemory(symbol: ElfSymbol): boolean {
    const section = symbol.section < SHN.LORESERVE ? this.#sections[symbol.section] : undefined;
    return symbol.section !== SHN.UNDEF && section !== undefined && (section.flags & SHF.ALLOC) !== 0n;
  }

  #missing(kind: string, name: string, found: string): ImageError {
    return new ImageError(
      `expected the image to define the ${kind} ${name}, found ${this.#absence === undefined ? found : `no names: ${this.#absence}`}`,
    );
  }
}

/** Whether a symbol names something: not a section, a file, thread-local data, or a compiler's own `.L` label. */
function isNamed(symbol: ElfSymbol): boolean {
  const { type, name } = symbol;
  return name !== '' && type !== 'section' && type !== 'file' && type !== 'tls' && !name.startsWith('.L');
}

const BINDING_RANKS: Readonly<Record<string, number>> = { global: 3, unique: 3, weak: 2, local: 1 };
const bindingRank = (symbol: ElfSymbol): number => BINDING_RANKS[symbol.binding] ?? 0;
const isFunction = (symbol: ElfSymbol): number => (symbol.type === 'func' || symbol.type === 'ifunc' ? 1 : 0);
const compare = (a: bigint | string, b: bigint | string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Lower addresses first; at one address the less preferred alias first, labels before sized symbols. */
function byAddress(a: ElfSymbol, b: ElfSymbol): number {
  return (
    compare(a.value, b.value) ||
    Number(a.size > 0n) - Number(b.size > 0n) ||
    isFunction(a) - isFunction(b) ||
    bindingRank(a) - bindingRank(b) ||
    compare(a.size, b.size) ||
    compare(b.name, a.name)
  );
}

/** How many of `symbols`, sorted by address, lie at or below `address`. */
function countUpTo(symbols: readonly ElfSymbol[], address: bigint): number {
  let low = 0;
  let high = symbols.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (symbols[middle]!.value <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}
