/** What is asked of a processor through its local APIC, and what of it comes next (SDM 3A, "Handling Interrupts", 11.8). */
import { VectorSet } from './vector-set.js';

export interface RequestState {
  readonly irr: Uint32Array;
  readonly isr: Uint32Array;
  readonly tmr: Uint32Array;
  readonly taskPriority: number;
}

export class Requests {
  readonly irr = new VectorSet();
  readonly isr = new VectorSet();
  /** Which requests were level-triggered. */
  readonly tmr = new VectorSet();
  taskPriority = 0;

  reset(): void {
    this.irr.clear();
    this.isr.clear();
    this.tmr.clear();
    this.taskPriority = 0;
  }

  /** One that is already requested merges with it. */
  add(vector: number, isLevel: boolean): void {
    this.irr.add(vector);
    if (isLevel) this.tmr.add(vector);
    else this.tmr.delete(vector);
  }

  /** The processor priority (11.8.3.1). */
  get priority(): number {
    const inService = Math.max(this.isr.highest, 0);
    return this.taskPriority >> 4 >= inService >> 4 ? this.taskPriority : inService & 0xf0;
  }

  /** Whether a vector's class is above the processor's priority. */
  lets(vector: number): boolean {
    return vector >> 4 > this.priority >> 4;
  }

  /** The vector to deliver next, or -1: the highest requested that the priority lets through. */
  get next(): number {
    const vector = this.irr.highest;
    return vector >= 0 && this.lets(vector) ? vector : -1;
  }

  /** The processor takes it. */
  acknowledge(vector: number): void {
    this.irr.delete(vector);
    this.isr.add(vector);
  }

  /** The one in service of the highest priority ends. @returns it, or -1 */
  end(): number {
    const vector = this.isr.highest;
    if (vector >= 0) this.isr.delete(vector);
    return vector;
  }

  capture(): RequestState {
    return {
      irr: this.irr.capture(),
      isr: this.isr.capture(),
      tmr: this.tmr.capture(),
      taskPriority: this.taskPriority,
    };
  }
  reinstate(state: RequestState): void {
    this.irr.reinstate(state.irr);
    this.isr.reinstate(state.isr);
    this.tmr.reinstate(state.tmr);
    this.taskPriority = state.taskPriority;
  }
}
