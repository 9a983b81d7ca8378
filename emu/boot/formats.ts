/** The image formats, in the order in which a file is tried: QEMU's, and multiboot 2, which QEMU does not load, last. */
import { describeStart } from './elf.js';
import { ImageError } from './image-error.js';
import { ImageFile } from './image-file.js';
import { planLinuxBoot } from './linux.js';
import { isLinuxImage } from './linux-header.js';
import { multibootHeader, planMultibootBoot } from './multiboot.js';
import { multiboot2Header, planMultiboot2Boot } from './multiboot2.js';
import type { BootPlan, BootRequest } from './plan.js';
import { planPvhBoot, pvhEntry } from './pvh.js';

interface ImageFormat {
  readonly name: string;
  /** What it is called in a sentence. */
  readonly title: string;
  /** @throws ImageError where the file is damaged before this can be told */
  matches(file: ImageFile): boolean;
  /** @throws ImageError */
  plan(file: ImageFile, request: BootRequest): BootPlan;
}

const FORMATS = [
  {
    name: 'linux',
    title: 'a Linux bzImage',
    matches: ({ bytes }) => isLinuxImage(bytes),
    plan: planLinuxBoot,
  },
  {
    name: 'multiboot',
    title: 'a multiboot image',
    matches: (file) => multibootHeader(file) !== undefined,
    plan: planMultibootBoot,
  },
  {
    name: 'pvh',
    title: 'an ELF file with a PVH note',
    matches: (file) => file.isElf && pvhEntry(file.elf) !== undefined,
    plan: planPvhBoot,
  },
  {
    name: 'multiboot2',
    title: 'a multiboot 2 image',
    matches: (file) => multiboot2Header(file) !== undefined,
    plan: planMultiboot2Boot,
  },
] as const satisfies readonly ImageFormat[];

export type FormatName = (typeof FORMATS)[number]['name'];
export const FORMAT_NAMES: readonly FormatName[] = FORMATS.map(({ name }) => name);

/**
 * @param format undefined: the file's own
 * @returns the format that was taken, and its plan
 * @throws ImageError, which names the kinds for a file of none of them
 */
export function planBoot(
  image: Uint8Array,
  format: FormatName | undefined,
  request: BootRequest,
): { readonly format: FormatName; readonly plan: BootPlan } {
  const file = new ImageFile(image);
  const chosen = FORMATS.find(({ name }) => name === format) ?? detect(file);
  return { format: chosen.name, plan: chosen.plan(file, request) };
}

function detect(file: ImageFile): (typeof FORMATS)[number] {
  const found = FORMATS.find((format) => format.matches(file));
  if (found !== undefined) return found;
  const titles = FORMATS.map(({ title }) => title);
  throw new ImageError(
    `expected ${titles.slice(0, -1).join(', ')} or ${titles.at(-1)}, found ` +
      (file.isElf ? 'an ELF file that is none of them' : describeStart(file.bytes)),
  );
}
