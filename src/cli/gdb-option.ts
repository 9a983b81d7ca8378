/** --gdb, of all commands that take it. */
import { Option } from 'commander';
import { type Address, parseAddress } from '../gdb/connection.js';
import { UsageError } from './errors.js';

/** An address with what the user wrote. */
export interface GdbAddress {
  readonly address: Address;
  readonly text: string;
}

export const gdbOption = (): Option =>
  new Option(
    '--gdb <address>',
    'wait at [HOST:]PORT or unix:PATH for gdb before the first instruction',
  ).argParser((text): GdbAddress => {
    const address = parseAddress(text);
    if (address === undefined)
      throw new UsageError(`expected --gdb as [HOST:]PORT or unix:PATH, found "${text}"`);
    return { address, text };
  });
