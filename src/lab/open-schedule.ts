/** The guest of a schedule: its files are checked by their digests and its patches are applied before it is loaded. */
import { createHash } from 'node:crypto';
import { ImageError } from '../../emu/boot/image-error.js';
import { changedDevices } from '../../emu/devices/optional.js';
import { DEFAULT_KIND, DEFAULT_RAM, DEFAULT_TURN, type MachineOptions } from '../../emu/machine.js';
import { patchFile, patchSite } from '../asm/patch.js';
import type { GuestSpec, PatchText, PinnedFile, Schedule } from '../schedule/schedule.js';
import { RunningKernel } from './kernel.js';
import {
  type GuestFiles,
  type GuestInput,
  type InputFile,
  type LoadedGuest,
  loadGuest,
  parseImage,
  readGuest,
} from './open.js';

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

/**
 * Opens the guest that a schedule names; nothing of it has run yet.
 * @throws ImageError when a file is not the one that was recorded, and what `openGuest` throws; PatchError and AsmError for a
 *   patch that does not fit.
 */
export async function openSchedule(
  from: Schedule | GuestSpec,
  { console }: Pick<MachineOptions, 'console'> = {},
): Promise<LoadedGuest> {
  const guestSpec = 'guest' in from ? from.guest : from;
  const { image, modules, initrd, commandLine, format, patches, drained } = guestSpec;
  const { machine: kind, devices, cpus, ram, turn } = guestSpec;
  const input = readGuest({
    image: image.name,
    modules: modules.map(({ name }) => name),
    ...(initrd !== undefined && { initrd: initrd.name }),
    commandLine,
    ...(format !== undefined && { format }),
  });
  expectPinned(image, input.image);
  if (initrd !== undefined) expectPinned(initrd, input.initrd!);
  for (const [index, module] of modules.entries()) expectPinned(module, input.modules[index]!);
  const patched = { ...input.image, bytes: await withPatches(input.image, patches) };
  const guest = loadGuest(
    { ...input, image: patched },
    { ...(kind && { kind }), ...(devices && { devices }), cpus, ram, turn, ...(console && { console }) },
  );
  if (drained) new RunningKernel(guest.machine).tap({});
  return guest;
}

const digestOf = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, DIGEST_LENGTH);

function expectPinned({ name, digest }: PinnedFile, { bytes }: InputFile): void {
  const found = digestOf(bytes);
  if (digest !== undefined && digest !== found)
    throw new ImageError(
      `${name}: expected the file of the schedule, with a SHA-256 that begins ${digest}, found one that begins ${found}`,
    );
}

async function withPatches({ name, bytes }: InputFile, patches: readonly PatchText[]): Promise<Uint8Array> {
  if (patches.length === 0) return bytes;
  const image = parseImage(name, bytes);
  const sites = [];
  for (const patch of patches) {
    const replace = patch.bytes === undefined ? {} : { replace: { bytes: patch.bytes } };
    sites.push(await patchSite(image, { at: patch.at, with: patch.with, ...replace }));
  }
  return patchFile(bytes, image.file, sites);
}
