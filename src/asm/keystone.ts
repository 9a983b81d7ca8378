/**
 * The assembler for snippets: litmus columns, patched sites, tests. Whole images are built by GNU as and ld.
 *
 * Keystone reports many failures as success, or not at all, so a result counts only when it carries its own proof: behind
 * the snippet stands a table of `.quad label` that ends in a magic number. If the table is not where the end label says,
 * something was dropped. The table also tells the labels' addresses, which keystone keeps to itself.
 */
import type { Keystone, KeystoneModule } from '@alexaltea/keystone-js';
import { AsmError } from './asm-error.js';
import { type Mode, readSnippet, type Snippet, type Statement, type Syntax } from './snippet.js';

export { AsmError } from './asm-error.js';
export type { Mode, Syntax } from './snippet.js';

/** Where a snippet's foreign names come from; a SymbolTable is one. */
export interface Names {
  /** The address of a symbol. */
  lookup(name: string): bigint | undefined;
  /** The value of a constant, such as a structure offset. */
  constant(name: string): bigint | undefined;
}

export interface AssembleOptions {
  /** Virtual address of the first byte; 0 by default. */
  readonly address?: bigint;
  /** Width of the code; 64 by default. */
  readonly mode?: Mode;
  readonly syntax?: Syntax;
  readonly symbols?: Names;
}

export interface Assembled {
  readonly bytes: Uint8Array;
  /** Addresses of the labels that stand outside macros, repetitions and conditions. */
  readonly labels: ReadonlyMap<string, bigint>;
}

const END = '__snippet_end';
const MAGIC = 0x6275_6c64_6e77_6e75n;
const SYMBOL_MISSING = 144; // KS_ERR_ASM_SYMBOL_MISSING

/**
 * Assembles a snippet.
 * @throws {AsmError} with the line at fault, also where keystone itself would fail silently.
 */
export async function assemble(source: string, options: AssembleOptions = {}): Promise<Assembled> {
  const { address = 0n, mode = 64, syntax = 'gas', symbols } = options;
  const snippet = readSnippet(source, mode, syntax);
  const last = snippet.statements.at(-1);
  if (last === undefined) throw new AsmError(1, '', 'expected an instruction or data, found nothing');
  if (last.depth > 0)
    throw new AsmError(
      last.line,
      last.source,
      'expected .endm, .endr or .endif, found the end of the snippet',
    );
  const names = resolveNames(snippet, symbols);
  const start = BigInt.asUintN(64, address);
  const attempt: Attempt = async (statements, labels, stubs) => {
    const outcome = await run(compose(statements, labels, stubs, names), start, mode, syntax);
    return (outcome.bytes && unpack(outcome.bytes, start, labels)) ?? outcome;
  };
  const result = await attempt(snippet.statements, snippet.labels, []);
  if (!('labels' in result)) throw await explain(snippet, result, attempt);
  if (result.bytes.length === 0)
    throw new AsmError(last.line, last.source, 'expected an instruction or data, found none');
  return result;
}

/** Assembles some statements of a snippet; `labels` go to the table, `stubs` are defined behind it. */
type Attempt = (
  statements: readonly Statement[],
  labels: readonly string[],
  stubs: readonly string[],
) => Promise<Assembled | Outcome>;

interface NameValues {
  readonly constants: readonly string[];
  readonly addresses: readonly string[];
}

/** Definitions for the foreign names: constants go before the code, which keeps it short, addresses behind it. */
function resolveNames(snippet: Snippet, symbols: Names | undefined): NameValues {
  const constants: string[] = [];
  const addresses: string[] = [];
  for (const name of snippet.foreign) {
    const address = symbols?.lookup(name);
    const constant = address === undefined ? symbols?.constant(name) : undefined;
    const user = snippet.ripRelative.get(name);
    if (constant !== undefined && user !== undefined) {
      throw new AsmError(
        user.line,
        user.source,
        `expected a label before (%rip), found the constant ${name}`,
      );
    }
    if (address !== undefined) addresses.push(`.set ${name},0x${address.toString(16)}`);
    if (constant !== undefined) constants.push(`.set ${name},0x${constant.toString(16)}`);
  }
  return { constants, addresses };
}

function compose(
  statements: readonly Statement[],
  labels: readonly string[],
  stubs: readonly string[],
  names: NameValues,
): string {
  return [
    ...names.constants,
    ...statements.map(({ text }) => text),
    `${END}:`,
    ...labels.map((label) => `.quad ${label}`),
    `.quad ${END}`,
    `.quad 0x${MAGIC.toString(16)}`,
    ...stubs.map((label) => `${label}:`),
    ...names.addresses,
    '',
  ].join('\n');
}

/** Takes code and label table apart; undefined when the table does not prove that all was assembled. */
function unpack(bytes: Uint8Array, start: bigint, labels: readonly string[]): Assembled | undefined {
  const length = bytes.length - 8 * (labels.length + 2);
  if (length < 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + length);
  const word = (index: number): bigint => view.getBigUint64(8 * index, true);
  const isWhole =
    word(labels.length + 1) === MAGIC && word(labels.length) === BigInt.asUintN(64, start + BigInt(length));
  if (!isWhole) return undefined;
  return {
    bytes: bytes.slice(0, length),
    labels: new Map(labels.map((label, index) => [label, word(index)])),
  };
}

interface Outcome {
  readonly bytes?: Uint8Array;
  readonly code: number;
  readonly reason: string;
}

/** Finds the statement at fault: the last one of the shortest beginning that fails, with all labels defined. */
async function explain(snippet: Snippet, outcome: Outcome, attempt: Attempt): Promise<AsmError> {
  const { statements, labels } = snippet;
  const cuts = statements.flatMap(({ depth }, index) => (depth === 0 ? [index + 1] : []));
  let low = 0;
  let high = cuts.length - 1;
  let { code, reason } = outcome;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const beginning = statements.slice(0, cuts[middle]);
    const present = new Set(beginning.map(({ text }) => text));
    const missing = labels.filter((label) => !present.has(`${label}:`));
    const result = await attempt(beginning, [], missing);
    if ('labels' in result) low = middle + 1;
    else {
      high = middle;
      ({ code, reason } = result);
    }
  }
  const { line, source } = statements[cuts[low]! - 1]!;
  const expected =
    code === SYMBOL_MISSING
      ? 'names that the snippet or the image defines'
      : 'a statement that keystone assembles';
  return new AsmError(line, source, `expected ${expected}, found \`${source}\`: ${reason}`);
}

/** One loaded module for each mode: a dozen assemblers in one module exhaust its memory. */
const assemblers = new Map<Mode, Promise<Assembler>>();

interface Assembler {
  readonly module: KeystoneModule;
  readonly keystone: Keystone;
}

async function open(mode: Mode): Promise<Assembler> {
  const { default: load } = await import('@alexaltea/keystone-js'); // a large file, read only where it is used
  const module = await load({ print: () => {}, printErr: () => {} });
  return { module, keystone: new module.Keystone(module.ARCH_X86, module[`MODE_${mode}`]) };
}

/** Runs keystone once; a module that dies of its source is replaced and the source tried again in the fresh one. */
async function run(source: string, address: bigint, mode: Mode, syntax: Syntax): Promise<Outcome> {
  return (
    (await runOnce(source, address, mode, syntax)) ??
    (await runOnce(source, address, mode, syntax)) ??
    GAVE_UP
  );
}

const GAVE_UP: Outcome = { code: 0, reason: 'keystone gave up on it, it may be too long' };

/** One run; undefined when the module died of it. A dead module throws, or fails with the code for success. */
async function runOnce(
  source: string,
  address: bigint,
  mode: Mode,
  syntax: Syntax,
): Promise<Outcome | undefined> {
  const pending = assemblers.get(mode) ?? open(mode);
  assemblers.set(mode, pending);
  const { module, keystone } = await pending;
  const exitCode = process.exitCode;
  try {
    keystone.option(module.OPT_SYNTAX, syntax === 'gas' ? module.OPT_SYNTAX_GAS : module.OPT_SYNTAX_INTEL);
    const { mc, failed } = keystone.asm(source, address);
    if (!failed) return { bytes: mc, code: 0, reason: 'it was dropped without an error' };
    const code = keystone.errno();
    if (code !== 0)
      return {
        code,
        reason: module
          .strerror(code)
          .replace(/ \(KS_\w+\)$/, '')
          .toLowerCase(),
      };
  } catch {
    process.exitCode = exitCode; // the module's exit() sets it
  }
  assemblers.delete(mode);
  return undefined;
}
