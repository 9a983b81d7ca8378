/**
 * libunicorn's C interface, as much of it as the machine uses (unicorn/unicorn.h, unicorn/x86.h).
 * Control words of `uc_ctl` are type | argument count << 26 | direction << 30 (1 = write).
 */
import koffi from 'koffi';
import { EngineError, findLibrary, type UnicornLibrary } from './library.js';

export type Pointer = unknown;

export const UC_ARCH_X86 = 4;
export const UC_MODE_64 = 1 << 3;
export const UC_PROT_ALL = 7;
export const UC_PROT_READ_EXECUTE = 5;
/**
 * QEMU's basic 64-bit CPU (UC_CPU_X86_QEMU64). Not the default: that of 2.1.4 executes RDTSCP and RDRAND, whose results come from
 * the host and would make each run another.
 */
export const UC_CPU_X86_QEMU64 = 0;

/** Hook types (uc_hook_type). */
export const HOOK = {
  INTR: 1 << 0,
  INSN: 1 << 1,
  CODE: 1 << 2,
  BLOCK: 1 << 3,
  MEM_READ_PROT: 1 << 7,
  MEM_READ: 1 << 10,
  MEM_WRITE: 1 << 11,
  INSN_INVALID: 1 << 14,
  EDGE_GENERATED: 1 << 15,
} as const;

/** Instructions that HOOK.INSN takes (uc_x86_insn). */
export const INSN = { CPUID: 113, IN: 218, OUT: 500, SYSCALL: 699 } as const;

const write = (type: number, args: number): number => type | (args << 26) | (1 << 30);
const CTL_USE_EXITS = write(4, 1);
const CTL_EXITS = write(6, 2);
const CTL_CPU_MODEL = write(7, 1);
const CTL_TB_REMOVE_CACHE = write(9, 2);
const CTL_TB_FLUSH = write(10, 0);
const CTL_TLB_FLUSH = write(11, 0);
const CTL_TCG_BUFFER_SIZE = write(13, 1);

/** What a memory hook says of a store (uc_mem_type). */
export const UC_MEM_WRITE = 17;

/** Error codes of uc_err that the machine tells apart. */
export const UC_ERR_OK = 0;
/** 2.1.1 ends a run with it after an invalid-instruction hook that asked to go on. */
export const UC_ERR_EXCEPTION = 21;

/**
 * Hooks as the engine calls them, without what nobody looks at: parameters at the end are left out, which the calling convention
 * allows a callee (System V ABI, AMD64, 3.2.3), and the engine in front is an `int`, because a pointer would become a BigInt.
 */
const callback = {
  intr: koffi.proto('void unwindlab_intr(int uc, uint32_t vector)'),
  syscall: koffi.proto('void unwindlab_syscall()'),
  cpuid: koffi.proto('int unwindlab_cpuid()'),
  invalid: koffi.proto('bool unwindlab_invalid()'),
  in: koffi.proto('uint32_t unwindlab_in(int uc, uint32_t port, int size)'),
  out: koffi.proto('void unwindlab_out(int uc, uint32_t port, int size, uint32_t value)'),
  code: koffi.proto('void unwindlab_code(int uc, uint64_t address)'),
  memory: koffi.proto('void unwindlab_memory(int uc, int type, uint64_t address, int size)'),
  edge: koffi.proto('void unwindlab_edge(int uc, int64_t current)'),
  mmioRead: koffi.proto('uint64_t unwindlab_mmio_read(int uc, uint64_t offset, unsigned int size)'),
  mmioWrite: koffi.proto(
    'void unwindlab_mmio_write(int uc, uint64_t offset, unsigned int size, uint64_t value)',
  ),
};
export type CallbackKind = keyof typeof callback;

/** Registers a JavaScript function as a C callback; `release` it when the engine is closed. */
export function registerCallback(kind: CallbackKind, fn: (...args: never[]) => unknown): Pointer {
  return koffi.register(fn, koffi.pointer(callback[kind]));
}
export const releaseCallback = (pointer: Pointer): void => koffi.unregister(pointer as never);

/** A live window on `length` bytes of native memory; it is valid only as long as the memory is. */
export const viewMemory = (pointer: Pointer, length: number): ArrayBuffer =>
  koffi.view(pointer as never, length) as ArrayBuffer;

export type Ffi = ReturnType<typeof bind>;

function bind(library: UnicornLibrary) {
  const lib = library.handle;
  const ctl0 = lib.func('int uc_ctl(void *uc, int control)');
  const ctl1 = lib.func('uc_ctl', 'int', ['void *', 'int', 'int']);
  const ctl2 = lib.func('uc_ctl', 'int', ['void *', 'int', 'uint64_t', 'uint64_t']);
  const ctlArray = lib.func('uc_ctl', 'int', ['void *', 'int', 'void *', 'size_t']);
  const strerror = lib.func('const char *uc_strerror(int code)') as (code: number) => string;
  return {
    library,
    open: lib.func('int uc_open(int arch, int mode, _Out_ void **uc)'),
    close: lib.func('int uc_close(void *uc)'),
    memMapPtr: lib.func(
      'int uc_mem_map_ptr(void *uc, uint64_t addr, uint64_t size, uint32_t perms, void *ptr)',
    ),
    memMap: lib.func('int uc_mem_map(void *uc, uint64_t addr, uint64_t size, uint32_t perms)'),
    memWrite: lib.func('int uc_mem_write(void *uc, uint64_t addr, const void *bytes, uint64_t size)'),
    mmioMap: lib.func(
      'int uc_mmio_map(void *uc, uint64_t addr, uint64_t size, void *read, void *ru, void *write, void *wu)',
    ),
    regRead: lib.func('int uc_reg_read(void *uc, int id, void *value)'),
    regWrite: lib.func('int uc_reg_write(void *uc, int id, const void *value)'),
    start: lib.func(
      'int uc_emu_start(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count)',
    ),
    stop: lib.func('int uc_emu_stop(void *uc)'),
    contextAlloc: lib.func('int uc_context_alloc(void *uc, _Out_ void **context)'),
    contextFree: lib.func('int uc_context_free(void *context)'),
    contextSize: lib.func('size_t uc_context_size(void *uc)'),
    contextSave: lib.func('int uc_context_save(void *uc, void *context)'),
    contextRestore: lib.func('int uc_context_restore(void *uc, void *context)'),
    contextRegRead: lib.func('int uc_context_reg_read(void *context, int id, void *value)'),
    contextRegWrite: lib.func('int uc_context_reg_write(void *context, int id, const void *value)'),
    hookAdd: lib.func(
      'int uc_hook_add(void *uc, _Out_ size_t *hook, int type, void *cb, void *user, uint64_t begin, uint64_t end, int insn)',
    ),
    hookDel: lib.func('int uc_hook_del(void *uc, size_t hook)'),
    /** Runs stop at the exits, of which there are none yet, and not at `until`. */
    useExits: (uc: Pointer): number => ctl1(uc, CTL_USE_EXITS, 1),
    /** Replaces the exits; they count when code is translated. */
    setExits: (uc: Pointer, addresses: BigUint64Array): number =>
      ctlArray(uc, CTL_EXITS, addresses, addresses.length),
    setCpuModel: (uc: Pointer, model: number): number => ctl1(uc, CTL_CPU_MODEL, model),
    codeBuffer: (uc: Pointer, bytes: number): number => ctl1(uc, CTL_TCG_BUFFER_SIZE, bytes),
    removeCode: (uc: Pointer, from: bigint, to: bigint): number => ctl2(uc, CTL_TB_REMOVE_CACHE, from, to),
    flushCode: (uc: Pointer): number => ctl0(uc, CTL_TB_FLUSH),
    flushTlb: (uc: Pointer): number => ctl0(uc, CTL_TLB_FLUSH),
    /** @throws EngineError naming the call when `code` is not UC_ERR_OK. */
    check(code: number, call: string): void {
      if (code !== UC_ERR_OK)
        throw new EngineError(`internal: ${call} of libunicorn failed: ${strerror(code)}`);
    },
  };
}

let loaded: Ffi | undefined;
/** The library's functions, loaded once. @throws EngineError when no usable libunicorn is found. */
export function ffi(): Ffi {
  loaded ??= bind(findLibrary());
  return loaded;
}
