import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const folder = new URL('../data/linux-7.2/', import.meta.url);

/** A recorded file of test/data/linux-7.2, unpacked. */
export const recorded = (name: string): Buffer => gunzipSync(readFileSync(new URL(`${name}.gz`, folder)));
export const recordedText = (name: string): string => recorded(name).toString('utf8');
