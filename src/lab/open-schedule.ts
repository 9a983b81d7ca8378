/** The guest of a schedule: its files are checked by their digests and its patches are applied before it is loaded. */
import { ImageError } from '../../emu/boot/image-error.js';
import type { MachineOptions } from '../../emu/machine.js';
import { patchFile, patchSite } from '../asm/patch.js';
import type { GuestSpec, PatchText, PinnedFile, Schedule } from '../schedule/schedule.js';
import { digestOf } from './guest-spec.js';
import { RunningKernel } from './kernel.js';
import { type InputFile, type LoadedGuest, loadGuest, parseImage, readGuest } from './open.js';

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
