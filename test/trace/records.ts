/** Builds records from fields, for tests: the opposite of the decoder, written without it. */
type Field = readonly ['u32' | 'u64', number | bigint] | readonly ['text', string];
export const u32 = (value: number): Field => ['u32', value];
export const u64 = (value: bigint | number): Field => ['u64', value];
export const text = (value: string): Field => ['text', value];

export function record(type: number, misc: number, ...fields: readonly Field[]): Buffer {
  const body = Buffer.concat(
    fields.map(([kind, value]) => {
      if (kind === 'text') return Buffer.from(value.padEnd(Math.ceil((value.length + 1) / 8) * 8, '\0'));
      const bytes = Buffer.alloc(kind === 'u32' ? 4 : 8);
      if (kind === 'u32') bytes.writeInt32LE(Number(value) | 0);
      else bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
      return bytes;
    }),
  );
  const header = Buffer.alloc(8);
  header.writeUInt32LE(type);
  header.writeUInt16LE(misc, 4);
  header.writeUInt16LE(8 + body.length, 6);
  return Buffer.concat([header, body]);
}

/** sample_id of this project's kernel: u32 pid, tid; u64 time; u32 cpu, 0. */
export const sampleId = (pid: number, tid: number, time: number, cpu: number): Field[] => [
  u32(pid),
  u32(tid),
  u64(time),
  u32(cpu),
  u32(0),
];
