/** What we use of the two WebAssembly packages; they come without types. */

interface EmscriptenOptions {
  print?: (line: string) => void;
  printErr?: (line: string) => void;
}

declare module '@alexaltea/keystone-js' {
  interface Keystone {
    option(option: number, value: number): void;
    /** `failed` is false for some sources that were not assembled; see src/asm/keystone.ts. */
    asm(source: string, address: bigint): { mc: Uint8Array; count: number; failed: boolean };
    errno(): number;
    close(): void;
  }
  interface KeystoneModule {
    Keystone: new (arch: number, mode: number) => Keystone;
    strerror(code: number): string;
    readonly ARCH_X86: number;
    readonly MODE_16: number;
    readonly MODE_32: number;
    readonly MODE_64: number;
    readonly OPT_SYNTAX: number;
    readonly OPT_SYNTAX_INTEL: number;
    readonly OPT_SYNTAX_GAS: number;
  }
  export default function load(options?: EmscriptenOptions): Promise<KeystoneModule>;
}

declare module '@alexaltea/capstone-js' {
  interface Instruction {
    readonly address: bigint;
    readonly size: number;
    readonly mnemonic: string;
    readonly op_str: string;
  }
  interface Capstone {
    option(option: number, value: number): void;
    /** Decodes up to the first bad instruction; throws a string when that is the first one. */
    disasm(code: Uint8Array, address: bigint, max?: number): Instruction[];
    close(): void;
  }
  interface CapstoneModule {
    Capstone: new (arch: number, mode: number) => Capstone;
    readonly ARCH_X86: number;
    readonly MODE_16: number;
    readonly MODE_32: number;
    readonly MODE_64: number;
    readonly OPT_SYNTAX: number;
    readonly OPT_SYNTAX_INTEL: number;
    readonly OPT_SYNTAX_ATT: number;
  }
  export default function load(options?: EmscriptenOptions): Promise<CapstoneModule>;
}
