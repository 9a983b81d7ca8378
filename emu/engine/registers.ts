/** Registers by the numbers of the engine's register API (uc_x86_reg); those of a row follow one another. */
export const REG = {
  FPSW: 31,
  RAX: 35,
  RCX: 38,
  RIP: 41,
  CR0: 50,
  CR2: 52,
  CR3: 53,
  CR4: 54,
  /** ST(0) to ST(7) */
  ST0: 114,
  /** XMM0 to XMM15 */
  XMM0: 122,
  IDTR: 242,
  GDTR: 243,
  TR: 245,
  FPCW: 246,
  FPTAG: 247,
  MSR: 248,
  MXCSR: 249,
  RFLAGS: 253,
  FIP: 254,
  FCS: 255,
  FDP: 256,
  FDS: 257,
  FOP: 258,
} as const;
