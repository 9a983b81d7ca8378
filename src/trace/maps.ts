import type { PerfRecord } from './perf-record.js';

/** Names by address; `SymbolTable` of emu/boot is one. */
export interface SymbolSource {
  resolve(address: bigint): { readonly name: string; readonly offset: bigint } | undefined;
}

/** What is known of an instruction address. */
export interface Location {
  readonly ip: bigint;
  /** File name of the image, `[kernel.kallsyms]` for the kernel. Not there where no image is mapped. */
  readonly image?: string;
  /** Position in the image's file; not there for the kernel. */
  readonly fileOffset?: bigint;
  readonly symbol?: string;
  /** Distance from the symbol's start. */
  readonly symbolOffset?: bigint;
}

export interface MapsSources {
  readonly kernel?: SymbolSource;
  /** The symbols of an image by the name that MMAP records give it. */
  readonly symbolsOf?: (image: string) => SymbolSource | undefined;
}

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly pgoff: bigint;
  readonly image: string;
}

/** How perf names the kernel as an image. */
export const KERNEL_IMAGE = '[kernel.kallsyms]';

/**
 * Follows which image each process has where, and how each thread is called, from the records of a trace in the order of time.
 *
 * A new process begins with its parent's mappings and name; an execve empties the mappings; a later mapping replaces
 * what it overlaps. What has exited is remembered until its number is used again, so late records keep their symbols.
 * Images run where they were linked: symbols are looked up by the address itself.
 */
export class Maps {
  readonly #sources: MapsSources;
  readonly #mappings = new Map<number, Mapping[]>();
  readonly #comms = new Map<number, string>();

  constructor(sources: MapsSources = {}) {
    this.#sources = sources;
  }

  /** Takes note of COMM, MMAP and FORK; other records tell nothing about images. */
  apply(record: PerfRecord): void {
    if (record.type === 'comm') {
      this.#comms.set(record.tid, record.comm);
      if (record.exec) this.#mappings.delete(record.pid);
    } else if (record.type === 'mmap') {
      if (!record.executable || record.mode === 'kernel') return;
      const start = record.address;
      const end = start + record.length;
      const others = this.#mappings.get(record.pid) ?? [];
      const kept = others.flatMap((mapping) => without(mapping, start, end));
      this.#mappings.set(record.pid, [...kept, { start, end, pgoff: record.pgoff, image: record.file }]);
    } else if (record.type === 'fork') {
      const comm = this.#comms.get(record.ptid);
      if (comm !== undefined) this.#comms.set(record.tid, comm);
      if (record.pid !== record.ppid) this.#mappings.set(record.pid, this.#mappings.get(record.ppid) ?? []);
    }
  }

  /** The name of a thread; perf's `:tid` where no record told one. */
  comm(tid: number): string {
    return this.#comms.get(tid) ?? `:${tid}`;
  }

  locateKernel(ip: bigint): Location {
    return { ip, image: KERNEL_IMAGE, ...symbolAt(this.#sources.kernel, ip) };
  }

  /** A user address in the process `pid`. */
  locateUser(pid: number, ip: bigint): Location {
    const mapping = this.#mappings.get(pid)?.find(({ start, end }) => start <= ip && ip < end);
    if (mapping === undefined) return { ip };
    const { image, start, pgoff } = mapping;
    return { ip, image, fileOffset: ip - start + pgoff, ...symbolAt(this.#sources.symbolsOf?.(image), ip) };
  }
}

/** A user address in a program that lies where it is linked. @param image its name; without `symbols` nothing is known of it */
export function located(
  ip: bigint,
  image: string,
  program: { readonly symbols: SymbolSource } | undefined,
): Location {
  const found = program?.symbols.resolve(ip);
  return found === undefined ? { ip } : { ip, image, symbol: found.name, symbolOffset: found.offset };
}

/** What is left of a mapping when [start, end) is mapped anew. */
function without(mapping: Mapping, start: bigint, end: bigint): Mapping[] {
  const left: Mapping[] = [];
  if (mapping.start < start) left.push({ ...mapping, end: mapping.end < start ? mapping.end : start });
  if (mapping.end > end) {
    const from = mapping.start > end ? mapping.start : end;
    left.push({ ...mapping, start: from, pgoff: mapping.pgoff + (from - mapping.start) });
  }
  return left;
}

/**
 * The name of an address. A call that never returns may be the last instruction of its function; the return address then
 * lies behind the function, and the byte before it names the caller (Linux: kernel/kallsyms.c sprint_backtrace()).
 */
function symbolAt(source: SymbolSource | undefined, ip: bigint): { symbol?: string; symbolOffset?: bigint } {
  const at = source?.resolve(ip);
  if (at !== undefined) return { symbol: at.name, symbolOffset: at.offset };
  const before = source?.resolve(ip - 1n);
  return before === undefined ? {} : { symbol: before.name, symbolOffset: before.offset + 1n };
}
