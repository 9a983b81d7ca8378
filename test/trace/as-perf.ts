/** A recording of Linux, printed by this house's own reader, stitcher and writer. */
import { Maps, type SymbolSource } from '../../src/trace/maps.js';
import { byTime, eventOf, type PerfData } from '../../src/trace/perf-data.js';
import { perfScript } from '../../src/trace/perf-script.js';
import { type SampleStitcher, stacks } from '../../src/trace/stacks.js';

/**
 * What `perf script` should print of a recording. Only the names are taken from what perf did print: which address has which symbol.
 * @param stitcher without one, samples and records stay apart
 */
export function printedAsPerf(data: PerfData, printed: string, stitcher?: SampleStitcher): string {
  const names = new Map(
    [...printed.matchAll(/^\t *([0-9a-f]+) (\S+)\+0x([0-9a-f]+) /gm)].map(([, ip, name, offset]) => [
      BigInt(`0x${ip}`),
      { name: name!, offset: BigInt(`0x${offset}`) },
    ]),
  );
  const symbols: SymbolSource = { resolve: (address) => names.get(address) };
  const options = {
    maps: new Maps({ kernel: symbols, symbolsOf: () => symbols }),
    eventName: (sample: { id?: bigint }) => eventOf(data, sample).name,
    ...(stitcher && { stitcher }),
  };
  return [...stacks(byTime(data.records), options)].map((event) => perfScript(event)).join('');
}
