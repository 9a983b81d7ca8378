import { Command, Option } from 'commander';
import pc from 'picocolors';
import { codeFrom, type NamedImage, type Region } from '../asm/code.js';
import { readLineTable } from '../asm/dwarf-line.js';
import {
  formatItem,
  type ListedInstruction,
  type ListingSyntax,
  list,
  type Paint,
  PLAIN,
} from '../asm/listing.js';
import { openImage } from '../lab/open.js';
import { UsageError } from './errors.js';

interface DisasmOptions {
  readonly syntax: ListingSyntax;
  readonly source: boolean;
  readonly json?: boolean;
}

const COLOURS: Paint = { symbol: pc.yellow, source: pc.cyan, faint: pc.dim };

/** `unwindlab disasm`: the code of an image with symbols and source lines. */
export function disasmCommand(): Command {
  return new Command('disasm')
    .description('list the code of an image with symbols and source lines')
    .argument('<image>', 'ELF file, Linux bzImage, or @NAME for an image of this package')
    .argument('[symbol]', 'list this function, or from this label to the next symbol')
    .addOption(new Option('--syntax <syntax>', 'operand syntax').choices(['att', 'intel']).default('att'))
    .option('--no-source', 'leave source lines out; their tables are not read then')
    .option('--json', 'one object a line for each instruction')
    .action(runDisasm);
}

async function runDisasm(path: string, symbol: string | undefined, options: DisasmOptions): Promise<void> {
  const image = openImage(path);
  const items = await list(image, {
    syntax: options.syntax,
    ...(options.source && { lines: readLineTable(image.file) }),
    ...(symbol !== undefined && { regions: [regionOf(image, symbol)] }),
  });
  const paint = process.stdout.isTTY ? COLOURS : PLAIN;
  for (const item of items) {
    if (!options.json) process.stdout.write(`${formatItem(item, paint)}\n`);
    else if (item.kind === 'instruction') process.stdout.write(`${JSON.stringify(toJson(item, image))}\n`);
  }
}

function regionOf(image: NamedImage, name: string): Region {
  const symbol = image.symbols.find(name);
  if (symbol === undefined) {
    const found = image.symbols.constant(name) === undefined ? 'no such symbol' : 'a constant';
    throw new UsageError(
      `expected a symbol of the image, found ${found}: ${name} (\`unwindlab symbols\` lists them)`,
    );
  }
  const region = codeFrom(image, symbol.value, symbol.size);
  if (region === undefined) throw new UsageError(`expected a symbol of code, found one of data: ${name}`);
  return region;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

function toJson(item: ListedInstruction, { symbols }: NamedImage): object {
  const { address, bytes, mnemonic, operands, source, target } = item;
  return {
    address: hex(address),
    symbol: symbols.format(address),
    bytes: Buffer.from(bytes).toString('hex'),
    mnemonic,
    operands,
    ...(target && { target: { address: hex(target.address), symbol: target.symbol } }),
    ...source,
  };
}
