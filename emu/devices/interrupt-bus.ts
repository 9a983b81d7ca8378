/** The way from who sends an interrupt (a CPU, the I/O APIC) to the CPUs that it is for (SDM 3A, "Determining IPI Destination", 11.6.2). */
import type { Destination, IpiMode } from './apic-command.js';
import type { LocalApic } from './local-apic.js';

/** A CPU as the bus sees it. */
export interface BusCpu {
  readonly apic: LocalApic;
  raiseNmi(): void;
  init(): void;
  startup(vector: number): void;
}

export interface Interrupt {
  readonly mode: IpiMode;
  readonly vector: number;
  readonly isLevel?: boolean;
  readonly destination: Destination;
}

function isTarget(cpu: BusCpu, sender: BusCpu | undefined, destination: Destination): boolean {
  if (destination === 'self') return cpu === sender;
  if (destination === 'all') return true;
  if (destination === 'others') return cpu !== sender;
  if ('physical' in destination) return cpu.apic.id === destination.physical;
  return cpu.apic.matchesLogical(destination.logical);
}

/** What each mode does at a CPU that it is for. There is no system management mode, so SMI does nothing. */
const ARRIVALS: Readonly<Record<IpiMode, (cpu: BusCpu, vector: number, isLevel: boolean) => void>> = {
  fixed: ({ apic }, vector, isLevel) => apic.accept(vector, isLevel),
  lowest: ({ apic }, vector, isLevel) => apic.accept(vector, isLevel),
  smi: () => {},
  nmi: (cpu) => cpu.raiseNmi(),
  init: (cpu) => cpu.init(),
  sipi: (cpu, vector) => cpu.startup(vector),
};

/** Of those that take interrupts the one with the lowest priority, the first of them (11.6.2.4). */
function lowest(cpus: readonly BusCpu[]): readonly BusCpu[] {
  const open = cpus.filter((cpu) => cpu.apic.isEnabled);
  const priority = Math.min(...open.map((cpu) => cpu.apic.priority));
  return open.filter((cpu) => cpu.apic.priority === priority).slice(0, 1);
}

/** A CPU whose APIC is switched off hears nothing. */
export function deliverInterrupt(
  cpus: readonly BusCpu[],
  { mode, vector, isLevel = false, destination }: Interrupt,
  sender?: BusCpu,
): void {
  const targets = cpus.filter((cpu) => cpu.apic.isPresent && isTarget(cpu, sender, destination));
  for (const cpu of mode === 'lowest' ? lowest(targets) : targets) ARRIVALS[mode](cpu, vector, isLevel);
}
