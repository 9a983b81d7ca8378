/** Where a guest waits for gdb. */
import { type Address, Listener } from '../gdb/connection.js';
import { FileError, reasonOf } from './open.js';

/** @throws FileError where nobody can listen at the address, which the user has written as `text` */
export async function listenForGdb(address: Address, text: string): Promise<Listener> {
  try {
    return await Listener.open(address);
  } catch (error) {
    throw new FileError(`expected to listen for gdb at ${text}, found ${reasonOf(error)}`);
  }
}
