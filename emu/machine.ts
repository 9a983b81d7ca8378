/**
 * The front door: an x86-64 machine of 1 to 8 CPUs over one RAM. A run is a function of the image, the arguments and what is
 * injected; the same again gives the same run, instruction for instruction.
 */
import { firmware } from './boot/firmware.js';
import { type FormatName, planBoot } from './boot/formats.js';
import { memoryMap } from './boot/placement.js';
import { SymbolTable } from './boot/symbols.js';
import { CPU_MODELS } from './cpu/model.js';
import { enterKernel } from './cpu/reset.js';
import { Vcpu, type VcpuSnapshot, type VcpuStop } from './cpu/vcpu.js';
import { RSDP_ADDRESS } from './devices/acpi-tables.js';
import { APIC_DEFAULT_BASE } from './devices/apic-base.js';
import type { Ipi } from './devices/apic-command.js';
import { deliverInterrupt } from './devices/interrupt-bus.js';
import { APIC_WINDOW, LocalApic } from './devices/local-apic.js';
import { type DeviceName, devicesOf } from './devices/optional.js';
import { FLOATING } from './devices/ports.js';
import type { PowerEvent } from './devices/power.js';
import { Surroundings, type SurroundingsState } from './devices/surroundings.js';
import { Engine } from './engine/engine.js';
import { HostMemory, PAGE_SIZE } from './engine/host-memory.js';
import { ipiWord, portWord } from './event-words.js';
import { EventBus, type MachineEvent } from './events.js';
import { GuestMemory } from './memory/guest-memory.js';
import { type RamSnapshot, SnapshotStore } from './memory/snapshots.js';
import {
  type AccessHandler,
  type BreakpointHandler,
  DEFAULT_BUDGET,
  DEFAULT_KIND,
  DEFAULT_RAM,
  DEFAULT_TURN,
  type Injection,
  type LoadOptions,
  MAX_CPUS,
  MAX_RAM,
  MAX_TURN,
  type MachineKind,
  type MachineOptions,
  MIN_RAM,
  type Outcome,
  type RunOptions,
  type Watched,
} from './terms.js';
import { type TurnState, Turns } from './turns.js';
import { Watchers } from './watchers.js';

export * from './terms.js';

const NAMELESS = { symbols: [], sections: [] };

export interface MachineSnapshot {
  readonly ram: RamSnapshot;
  readonly cpus: readonly VcpuSnapshot[];
  readonly around: SurroundingsState;
  readonly events: ReturnType<EventBus['capture']>;
  readonly turns: TurnState;
  /** How the guest had ended the machine, if it had. */
  readonly power: PowerEvent | undefined;
}

export class Machine {
  readonly cpus: readonly Vcpu[];
  readonly memory: GuestMemory;
  readonly events = new EventBus();
  readonly #ram: HostMemory;
  readonly #engine: Engine;
  /** The optional ones that it has. */
  readonly #devices: ReadonlySet<DeviceName>;
  readonly #around: Surroundings;
  readonly #snapshots: SnapshotStore;
  readonly #watchers = new Watchers();
  readonly #turns: Turns;
  /** See `MachineOptions`. */
  readonly freeRunning: boolean;
  #symbols: SymbolTable | undefined;
  /** Finds the names when they are first asked for. */
  #findSymbols: (() => SymbolTable) | undefined;
  #power: PowerEvent | undefined;
  #isClosed = false;
  /** The CPU whose code the engine is running. */
  #active: Vcpu;
  /** The snapshot that translated code is known to agree with. */
  #settled: RamSnapshot | undefined;

  /** @throws EngineError when there is no usable libunicorn; RangeError for a size or count out of range, and for a device that such a machine cannot have. */
  constructor(options: MachineOptions = {}) {
    const { kind = DEFAULT_KIND, cpus = 1, ram = DEFAULT_RAM, turn = DEFAULT_TURN } = options;
    const { freeRunning = false } = options;
    this.freeRunning = freeRunning;
    expectWhole('cpus', cpus, 1, MAX_CPUS);
    expectWhole('ram', ram, MIN_RAM, MAX_RAM);
    expectWhole('turn', turn, 1, MAX_TURN);
    if (ram % PAGE_SIZE !== 0)
      throw new RangeError(`expected ram to be a multiple of ${PAGE_SIZE}, found ${ram}`);
    this.#devices = devicesOf(kind, options.devices);
    this.#ram = new HostMemory(ram);
    this.memory = new GuestMemory(this.#ram);
    this.#snapshots = new SnapshotStore(this.#ram);
    this.#engine = new Engine(
      this.#ram,
      {
        exception: (vector) => this.#active.exception(vector),
        invalidInstruction: () => this.#active.invalidInstruction(),
        syscall: () => this.#active.syscall(),
        cpuid: () => this.#active.cpuid(),
        portIn: (port, size) =>
          this.#active.mayAccessPort(port, size)
            ? this.#port('in', port, size, this.#around.ports.read(port, size))
            : FLOATING,
        portOut: (port, size, value) => {
          if (!this.#active.mayAccessPort(port, size)) return;
          this.#around.ports.write(port, size, this.#port('out', port, size, value));
        },
        breakpoint: (address) => this.#watchers.atBreakpoint(this.#active, address),
        userCode: () => this.#watchers.atUserCode(this.#active),
        accessed: (access) => {
          if (this.#watchers.accessed(this.#active, access)) this.stop();
        },
        codeAddress: (address) => this.#codeAddress(address),
      },
      freeRunning,
    );
    const model = CPU_MODELS[kind];
    const parts = { engine: this.#engine, memory: this.memory, events: this.events, count: cpus, model };
    this.cpus = Array.from({ length: cpus }, (_, index) => {
      const cpu = new Vcpu({ ...parts, index });
      const wires = {
        now: () => cpu.now,
        timestamp: () => cpu.timestamp,
        send: (ipi: Ipi) => this.#send(cpu, ipi),
        raiseNmi: () => cpu.raiseNmi(),
        changed: () => cpu.changed(),
        endOfInterrupt: (vector: number) => this.#around.board?.ioApic.endOfInterrupt(vector),
      };
      cpu.apic = new LocalApic(index, wires, model.apic);
      return cpu;
    });
    this.#active = this.cpus[0]!;
    this.#around = this.#newSurroundings(kind, options.console ?? (() => {}));
    this.#engine.mapMmio(APIC_DEFAULT_BASE, APIC_WINDOW, {
      read: (offset) => this.#active.apic.read(offset),
      write: (offset, _size, value) => this.#active.apic.write(offset, value),
    });
    this.#turns = new Turns(this.cpus, turn, this.#around.board !== undefined);
  }

  #newSurroundings(kind: MachineKind, print: (byte: number) => void): Surroundings {
    const first = this.cpus[0]!;
    const around = new Surroundings(kind, this.#devices, {
      facts: { ram: this.#ram.size, cpus: this.cpus.length, memoryMap: memoryMap(this.#ram.size) },
      now: () => this.#active.now,
      changed: () => first.changed(),
      deliver: (interrupt) => deliverInterrupt(this.cpus, interrupt),
      lint0: (level) => first.apic.setPin(0, level),
      print,
      power: (event) => this.#powerEvent(event),
    });
    for (const { address, size, device } of around.windows)
      this.#engine.mapMmio(address, size, {
        read: (offset) => device.read(offset),
        write: (offset, _size, value) => device.write(offset, value),
      });
    if (around.board === undefined) return around;
    first.board = around.board;
    first.apic.enterVirtualWireMode();
    return around;
  }

  /** The names of the loaded image. @throws Error when none is loaded. */
  get symbols(): SymbolTable {
    this.#symbols ??= this.#findSymbols?.();
    if (this.#symbols === undefined) throw new Error('expected a loaded image, found none; call load first');
    return this.#symbols;
  }

  /** Index of the CPU that `run` goes on with. */
  get inTurn(): number {
    return this.#turns.cursor;
  }

  /** Instructions executed by all CPUs; for handlers and listeners, without the one that is executing. */
  get retired(): number {
    return this.cpus.reduce((sum, cpu) => sum + cpu.begun, 0);
  }

  /**
   * Puts an image and its files into memory and the first CPU at its entry, by the boot protocol of its format.
   * @returns the format
   * @throws ImageError when the image is of no known format, or damaged, or does not fit.
   */
  load(image: Uint8Array, options: LoadOptions = {}): FormatName {
    const { name: imageName = 'kernel', commandLine = '', initrd, modules = [] } = options;
    const rsdp = this.#around.board === undefined ? undefined : RSDP_ADDRESS;
    const machine = { ram: this.#ram.size, cpus: this.cpus.length, rsdp };
    const request = { ...machine, imageName, commandLine, initrd, modules };
    const { format, plan } = planBoot(image, options.format, request);
    const { elf = NAMELESS } = plan;
    const { symbols = () => new SymbolTable(elf) } = options;
    this.#findSymbols = elf.symbols.length > 0 ? () => new SymbolTable(elf) : symbols;
    this.#symbols = undefined;
    const found = this.#around.board === undefined ? [] : firmware(this.cpus.length, this.#devices);
    for (const { address, bytes } of [...found, ...plan.pieces]) this.memory.writePhysical(address, bytes);
    this.#engine.flushCode();
    const first = this.cpus[0]!;
    enterKernel(first.state, plan.entry);
    first.activity = 'running';
    return format;
  }

  /** Bytes that arrive on the first serial port. */
  input(bytes: Uint8Array): void {
    this.#around.uart.receive(bytes);
  }

  /** Runs until the guest ends, `until` is reached, or `budget` instructions (default 10^10) have been executed. */
  run(options: RunOptions = {}): Outcome {
    const { until } = options;
    if (until === undefined) return this.#run(options);
    if ('event' in until) {
      let seen: MachineEvent | undefined;
      const unsubscribe = this.events.on(until.event, (event: MachineEvent) => {
        if (seen !== undefined || (until.where !== undefined && !until.where(event))) return;
        seen = event;
        this.cpus[event.cpu]!.requestStop();
      });
      try {
        const outcome = this.#run(options);
        if (seen === undefined || outcome.kind !== 'stopped') return outcome;
        return { kind: 'reached', cpu: seen.cpu, rip: this.cpus[seen.cpu]!.state.rip };
      } finally {
        unsubscribe();
      }
    }
    const address = 'symbol' in until ? this.symbols.require(until.symbol) : until.address;
    const remove = this.breakpoint(address, () => true);
    try {
      return this.#run(options);
    } finally {
      remove();
    }
  }

  #run({ budget = DEFAULT_BUDGET, asleep }: RunOptions): Outcome {
    let left = budget;
    if (this.#power !== undefined) return this.#power;
    for (;;) {
      const cpu = this.cpus[this.#turns.cursor]!;
      this.#active = cpu;
      const { stop, spent } = cpu.runTo(this.#turns.end, left);
      left -= spent;
      if (spent > 0) this.#turns.worked();
      if (this.#power !== undefined) return this.#power;
      if (stop !== undefined) return this.#outcomeOf(cpu, stop);
      const slept = this.#turns.next();
      if (slept === undefined) return { kind: 'hang' };
      if (slept > 0 && asleep?.(slept)) return { kind: 'stopped' };
    }
  }

  #outcomeOf(cpu: Vcpu, stop: VcpuStop): Outcome {
    const { rip } = cpu.state;
    switch (stop) {
      case 'budget':
        return { kind: 'budget' };
      case 'requested':
        return { kind: 'stopped' };
      case 'breakpoint':
        return { kind: 'reached', cpu: cpu.index, rip };
      case 'bus-error':
        return { kind: 'bus-error', cpu: cpu.index, rip };
      case 'shutdown':
        return { kind: 'triple-fault', cpu: cpu.index, rip, vector: cpu.shutdownVector };
    }
  }

  /**
   * Executes one instruction of one CPU, out of turn; an event that is pending there is delivered first. A CPU that is
   * halted and not woken lets one nanosecond pass.
   * @returns an outcome when the guest has ended with it.
   */
  step(cpu = 0): Outcome | undefined {
    const target = this.#cpu(cpu);
    if (this.#power !== undefined) return this.#power;
    this.#active = target;
    const { stop } = target.runTo(target.time + 1, 1);
    if (this.#power !== undefined) return this.#power;
    return stop === undefined || stop === 'requested' ? undefined : this.#outcomeOf(target, stop);
  }

  /** Delivers what is pending at a CPU and may be taken at its present boundary; executes nothing. @returns an outcome when the guest has ended with it. */
  deliver(cpu = 0): Outcome | undefined {
    const target = this.#cpu(cpu);
    if (this.#power !== undefined) return this.#power;
    this.#active = target;
    const stop = target.deliver();
    return stop === undefined ? undefined : this.#outcomeOf(target, stop);
  }

  /**
   * Makes an NMI or an interrupt pending at a CPU; it is delivered before that CPU's next instruction unless it is blocked,
   * masked or in a shadow, and then as soon as it is not.
   */
  inject(cpu: number, injection: Injection): void {
    const target = this.#cpu(cpu);
    if ('nmi' in injection) target.raiseNmi();
    else target.apic.accept(injection.vector);
  }

  /** Ends the run under way at the next instruction boundary; for use in listeners. */
  stop(): void {
    this.#active.requestStop();
  }

  /**
   * Calls `handler` whenever a CPU is about to execute the instruction at `address`. The first handler of an address and the
   * removal of the last one cost all translated code.
   * @returns a function that removes it.
   */
  breakpoint(address: bigint, handler: BreakpointHandler): () => void {
    return this.#watchers.breakpoint(this.#engine, address, handler);
  }

  /**
   * Calls `handler` whenever a CPU is about to execute a block of user code (straight code up to a jump, or the way back from the
   * kernel); it costs about 1 µs each time. The block comes next for certain: what is pending has been delivered.
   * @returns a function that ends it; it costs what `breakpoint` costs.
   */
  onUserCode(handler: BreakpointHandler): () => void {
    return this.#watchers.onUserCode(this.#engine, handler);
  }

  /**
   * Calls `handler` whenever an instruction reads or writes a byte of RAM, under whatever linear address. What the CPU does by itself is not
   * heard: page walks, and the frames of exceptions and interrupts. Watching costs what `Engine.watchMemory` says.
   * @returns a function that ends it
   */
  watch(range: Watched, handler: AccessHandler): () => void {
    return this.#watchers.watch(this.#engine, range, handler);
  }

  /** Virtual memory as a CPU sees it now; `undefined` where a byte is not mapped. */
  read(cpu: number, address: bigint, length: number): Buffer | undefined {
    return this.memory.read(this.#cpu(cpu).paging, address, length);
  }

  /** Writes as a debugger does, whatever the rights; code that was translated there is forgotten. */
  write(cpu: number, address: bigint, bytes: Uint8Array): boolean {
    const written = this.memory.write(this.#cpu(cpu).paging, address, bytes);
    this.#engine.flushTlb();
    this.#engine.flushCode();
    return written;
  }

  /** The whole machine as it stands. It costs what has changed since the last one. */
  snapshot(): MachineSnapshot {
    const ram = this.#snapshots.take();
    this.#engine.recentCodePages.clear();
    this.#settled = ram;
    return {
      ram,
      cpus: this.cpus.map((cpu) => cpu.capture()),
      around: this.#around.capture(),
      events: this.events.capture(),
      turns: this.#turns.capture(),
      power: this.#power,
    };
  }

  /** Goes back to a snapshot of this machine; it can be restored again. Breakpoints and listeners stay. */
  restore(snapshot: MachineSnapshot): void {
    const suspects = this.#settled === snapshot.ram ? this.#engine.recentCodePages : this.#engine.codePages;
    const { codeChanged } = this.#snapshots.restore(snapshot.ram, suspects);
    for (const [index, cpu] of this.cpus.entries()) cpu.reinstate(snapshot.cpus[index]!);
    this.#engine.flushTlb();
    if (codeChanged) this.#engine.flushCode();
    else this.#engine.recentCodePages.clear();
    this.#settled = snapshot.ram;
    this.#around.reinstate(snapshot.around);
    this.events.reinstate(snapshot.events);
    this.#turns.reinstate(snapshot.turns);
    this.#power = snapshot.power;
  }

  /** The snapshot will not be restored any more; its memory is freed. */
  release(snapshot: MachineSnapshot): void {
    this.#snapshots.release(snapshot.ram);
  }

  /** Frees the engine and the RAM; the second time does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#engine.close();
    this.#ram.close();
  }

  #cpu(index: number): Vcpu {
    const cpu = this.cpus[index];
    if (cpu === undefined)
      throw new RangeError(`expected a CPU from 0 to ${this.cpus.length - 1}, found ${index}`);
    return cpu;
  }

  #port(direction: 'in' | 'out', port: number, size: number, value: number): number {
    const { index: cpu, now: time } = this.#active;
    this.events.emit(
      { kind: 'port', cpu, time, direction, port, size, value },
      portWord(direction, port, size),
      BigInt(value),
    );
    return value;
  }

  #powerEvent(event: PowerEvent): void {
    this.#power = event;
    this.#active.requestStop();
  }

  #send(from: Vcpu, ipi: Ipi): void {
    this.events.emit(
      { kind: 'ipi', cpu: from.index, time: from.now, mode: ipi.mode, vector: ipi.vector },
      ipiWord(ipi.mode, ipi.vector),
      0n,
    );
    deliverInterrupt(this.cpus, ipi, from);
  }

  /** Where code of the active CPU lies physically. */
  #codeAddress(address: bigint): number {
    const physical = this.memory.translate(this.#active.paging, address)?.physical ?? -1;
    return physical < this.memory.size ? physical : -1;
  }
}

function expectWhole(name: string, value: number, from: number, to: number): void {
  if (Number.isInteger(value) && value >= from && value <= to) return;
  throw new RangeError(`expected ${name} to be a whole number from ${from} to ${to}, found ${value}`);
}
