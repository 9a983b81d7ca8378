/**
 * unwindlab as a library.
 *
 *     import { openGuest } from 'unwindlab';
 *
 *     const { machine } = openGuest({ image: '@kernel', modules: ['@hello'] }, { cpus: 2 });
 *     machine.events.on('syscall', ({ number, rip }) => console.log(number, rip.toString(16)));
 *     console.log(machine.run().kind);
 *     machine.close();
 *
 * The machine ends where `emu/` does; what knows Linux, unwinding and this package's kernel is built on it.
 */

// The machine.
export { type ElfFile, type ElfSymbol, parseElf } from '../emu/boot/elf.js';
export type { FormatName } from '../emu/boot/formats.js';
export { ImageError } from '../emu/boot/image-error.js';
export type { BootFile, BootModule } from '../emu/boot/plan.js';
export { type Resolved, SymbolTable } from '../emu/boot/symbols.js';
export { EXCEPTIONS, MSR, RFLAGS, VECTOR } from '../emu/cpu/architecture.js';
export type { Vcpu } from '../emu/cpu/vcpu.js';
export type { DeviceName, DeviceSwitches } from '../emu/devices/optional.js';
export { GPR, type Gpr } from '../emu/engine/cpu-state.js';
export { EngineError } from '../emu/engine/library.js';
export type { EventBus, EventKind, MachineEvent } from '../emu/events.js';
export {
  type BreakpointHandler,
  DEFAULT_BUDGET,
  DEFAULT_RAM,
  DEFAULT_TURN,
  type Injection,
  type LoadOptions,
  MAX_CPUS,
  Machine,
  type MachineKind,
  type MachineOptions,
  type MachineSnapshot,
  type Outcome,
  type Until,
} from '../emu/machine.js';
export type { KernelAddr, PhysAddr, UserAddr, VirtAddr } from '../emu/memory/address.js';

// Snippets, patched sites, listings.
export type { NamedImage } from './asm/code.js';
export {
  AsmError,
  type Assembled,
  type AssembleOptions,
  assemble,
  type Mode,
  type Names,
  type Syntax,
} from './asm/keystone.js';
export { type ListedInstruction, type ListingItem, list } from './asm/listing.js';
export { type Patch, PatchError, patchSite, type Site } from './asm/patch.js';

// This package's kernel: its memory by symbol, and guests made from files.
export type { Guest } from './guest/guest.js';
export type { PtRegs } from './guest/pt-regs.js';
export type { Task, UnwindInfo } from './guest/task.js';
// Schedules.
export { guestSpecOf } from './lab/guest-spec.js';
export { type RecordSink, RunningKernel } from './lab/kernel.js';
export { FileError, type GuestFiles, type LoadedGuest, openGuest, openImage } from './lab/open.js';
export { openSchedule } from './lab/open-schedule.js';
export { packedImages } from './lab/packed.js';
export { type Replay, type ReplayOptions, replay } from './lab/replay.js';
// What a Linux kernel's image says of itself.
export { Btf, btfOf, type MemberPlace } from './linux/btf.js';
export { type KernelSymbol, readKallsyms } from './linux/kallsyms.js';
export type { Memory } from './linux/kernel-memory.js';
export { LinuxError } from './linux/linux-error.js';
export { unpackKernel } from './linux/payload.js';
// Litmus tests, for use in test suites.
export { type LitmusQuestion, litmus } from './litmus/litmus.js';
export type { LitmusReport, StateReport, WitnessStep } from './litmus/run.js';
export { LitmusError, LitmusLimit, type Observation } from './litmus/test.js';
export { applyChoice } from './schedule/apply.js';
export type { Difference } from './schedule/comparison.js';
export { logEvents } from './schedule/event-log.js';
export {
  type Choice,
  formatSchedule,
  type GuestSpec,
  parseSchedule,
  type Schedule,
  ScheduleError,
} from './schedule/schedule.js';
// Stacks.
export {
  type EndReason,
  type ReadWord,
  UNWIND_MAX_ENTRIES,
  type Walk,
  type WalkLimits,
  type WalkRegs,
  walkFramePointers,
} from './unwind/walk.js';
