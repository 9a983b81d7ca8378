/** What a write of the interrupt command register sends, and to whom (SDM 3A, "Issuing Interprocessor Interrupts", 11.6). */
import { ICR, LOWEST_LEGAL_VECTOR } from './apic-registers.js';

/** Delivery modes by their code. 3 and 7 are reserved. */
const IPI_MODES = { 0: 'fixed', 1: 'lowest', 2: 'smi', 4: 'nmi', 5: 'init', 6: 'sipi' } as const;
export type IpiMode = (typeof IPI_MODES)[keyof typeof IPI_MODES];

/** Whom an interrupt is for: numbers of local APICs, or what they are to compare with their logical ones. */
export type Destination =
  | 'self'
  | 'all'
  | 'others'
  | { readonly physical: number }
  | { readonly logical: number };

export interface Ipi {
  readonly mode: IpiMode;
  readonly vector: number;
  readonly destination: Destination;
}

/** A physical destination of all ones is everybody. */
export const physicalDestination = (target: number, everybody: number): Destination =>
  target === everybody ? 'all' : { physical: target };

/**
 * What the command sends; `undefined` for what is reserved, and for the de-assertion of INIT, which means nothing to any but the
 * oldest processors. `everybody` is a target of all ones, as wide as the mode has it.
 */
export function decodeCommand(low: number, target: number, everybody: number): Ipi | undefined {
  const mode = IPI_MODES[((low & ICR.mode) >> ICR.modeShift) as keyof typeof IPI_MODES];
  if (mode === undefined || (mode === 'init' && (low & ICR.assert) === 0)) return undefined;
  const shorthand = (low & ICR.shorthand) >> ICR.shorthandShift;
  const named = (low & ICR.logical) !== 0 ? { logical: target } : physicalDestination(target, everybody);
  const destination = ([named, 'self', 'all', 'others'] as const)[shorthand]!;
  return { mode, vector: low & ICR.vector, destination };
}

/** Whether its vector is one of the first sixteen, which no interrupt may have (11.5.2). */
export const hasIllegalVector = ({ mode, vector }: Ipi): boolean =>
  (mode === 'fixed' || mode === 'lowest') && vector < LOWEST_LEGAL_VECTOR;

/** Destination format: the flat model. In the cluster model 15 names all clusters. */
const DFR_FLAT = 0xf;
const ALL_CLUSTERS = 0xf;

/** Whether a logical destination of eight bits names an APIC in the flat or the cluster model (11.6.2.2). */
export function matchesLogical(destination: number, own: number, dfr: number): boolean {
  if (dfr >>> 28 === DFR_FLAT) return (own & destination) !== 0;
  const cluster = (destination >> 4) & 0xf;
  return (cluster === ALL_CLUSTERS || cluster === own >> 4) && (own & destination & 0xf) !== 0;
}

/** The logical number of x2APIC mode: a cluster, and one of 16 bits in it (11.12.10.2). */
export const x2LogicalId = (id: number): number => ((id >> 4) << 16) | (1 << (id & 0xf));

/** Whether a logical destination names an APIC in x2APIC mode. */
export const matchesX2Logical = (destination: number, own: number): boolean =>
  destination === 0xffff_ffff || (destination >>> 16 === own >>> 16 && (destination & own & 0xffff) !== 0);
