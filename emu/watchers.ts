/** Who wants to hear of what a CPU is about to execute or has accessed: handlers by address, of user code, and of memory. */
import type { Vcpu } from './cpu/vcpu.js';
import type { MemoryAccess } from './engine/client.js';
import type { Engine } from './engine/engine.js';
import type { AccessHandler, BreakpointHandler, Watched } from './terms.js';

const USER_CPL = 3;

/** What the engine is asked for. */
type Hooks = Pick<Engine, 'addBreakpoint' | 'removeBreakpoint' | 'watchUserCode' | 'watchMemory'>;

export class Watchers {
  readonly #breakpoints = new Map<bigint, BreakpointHandler[]>();
  readonly #userCode: BreakpointHandler[] = [];
  readonly #watched = new Set<Watched & { readonly handler: AccessHandler }>();

  /** @returns what ends it */
  breakpoint(hooks: Hooks, address: bigint, handler: BreakpointHandler): () => void {
    let handlers = this.#breakpoints.get(address);
    if (handlers === undefined) {
      handlers = [];
      this.#breakpoints.set(address, handlers);
      hooks.addBreakpoint(address);
    }
    const all = handlers;
    all.push(handler);
    return () => {
      all.splice(all.indexOf(handler), 1);
      if (all.length > 0) return;
      this.#breakpoints.delete(address);
      hooks.removeBreakpoint(address);
    };
  }

  /** @returns what ends it */
  onUserCode(hooks: Hooks, handler: BreakpointHandler): () => void {
    this.#userCode.push(handler);
    hooks.watchUserCode(true);
    return () => {
      this.#userCode.splice(this.#userCode.indexOf(handler), 1);
      hooks.watchUserCode(this.#userCode.length > 0);
    };
  }

  /** @returns what ends it */
  watch(hooks: Hooks, range: Watched, handler: AccessHandler): () => void {
    const watched = { ...range, handler };
    this.#watched.add(watched);
    const end = hooks.watchMemory(range.kind, range.address, range.length);
    return () => {
      this.#watched.delete(watched);
      end();
    };
  }

  /** The instruction at an address comes next. @returns whether the run is to end before it */
  atBreakpoint(cpu: Vcpu, address: bigint): boolean {
    const handlers = this.#breakpoints.get(address);
    return handlers !== undefined && asked(handlers, cpu);
  }

  /** A block in the lower half comes next. @returns whether the run is to end before it */
  atUserCode(cpu: Vcpu): boolean {
    return cpu.state.cpl === USER_CPL && asked(this.#userCode, cpu);
  }

  /** @returns whether the run is to end behind the instruction */
  accessed(cpu: Vcpu, access: MemoryAccess): boolean {
    let stop = false;
    for (const { kind, address, length, handler } of this.#watched) {
      const isInside = access.address < address + length && address < access.address + access.size;
      if (kind === access.kind && isInside) stop = handler(cpu, access) || stop;
    }
    return stop;
  }
}

/** Every handler hears of it; one that says true ends the run. */
function asked(handlers: readonly BreakpointHandler[], cpu: Vcpu): boolean {
  let stop = false;
  for (const handler of handlers) stop = handler(cpu) || stop;
  return stop;
}
