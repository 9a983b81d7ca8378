/** What a schedule says about a guest: its files by their digests, and the machine around them. */
import { createHash } from 'node:crypto';
import { changedDevices } from '../../emu/devices/optional.js';
import { DEFAULT_KIND, DEFAULT_RAM, DEFAULT_TURN, type MachineOptions } from '../../emu/machine.js';
import type { GuestSpec, PatchText, PinnedFile } from '../schedule/schedule.js';
import { type GuestFiles, type GuestInput, type InputFile, readGuest } from './open.js';

/** Hexadecimal digits of a SHA-256 that tell files apart well enough. */
const DIGEST_LENGTH = 16;

/** What a schedule says about a guest made from these files, which are read for their digests. @throws FileError */
export const guestSpecOf = (
  files: GuestFiles,
  options: MachineOptions,
  patches: readonly PatchText[] = [],
): GuestSpec => specOf(readGuest(files), options, patches);

/** The same for files that have been read. */
export function specOf(
  { image, modules, initrd, commandLine, format }: GuestInput,
  { kind, devices: switches, cpus = 1, ram = DEFAULT_RAM, turn = DEFAULT_TURN }: MachineOptions,
  patches: readonly PatchText[] = [],
): GuestSpec {
  const devices = changedDevices(kind ?? DEFAULT_KIND, switches);
  const pin = ({ name, bytes }: InputFile): PinnedFile => ({ name, digest: digestOf(bytes) });
  return {
    image: pin(image),
    modules: modules.map(pin),
    ...(initrd !== undefined && { initrd: pin(initrd) }),
    commandLine,
    ...(format !== undefined && { format }),
    ...(kind !== undefined && { machine: kind }),
    ...(devices !== undefined && { devices }),
    cpus,
    ram,
    turn,
    patches,
  };
}

export const digestOf = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, DIGEST_LENGTH);
