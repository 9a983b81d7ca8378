/** GRUB 2 on a disk of its own, as the oracle for what QEMU's `-kernel` does not load. */
import { dirname } from 'node:path';
import type { Workshop } from './build-elf.js';
import { packaged } from './packages.js';

const MKIMAGE = packaged('usr/bin', /^grub-mkimage$/);
const BOOT_SECTOR = packaged('usr/lib/grub/i386-pc', /^boot\.img$/);

/** `scripts/fetch-package grub-common grub-pc-bin` has been called. */
export const hasGrub = MKIMAGE !== undefined && BOOT_SECTOR !== undefined;

const MODULES = ['memdisk', 'tar', 'multiboot', 'multiboot2', 'biosdisk', 'normal', 'configfile', 'boot'];
/** QEMU takes no shorter disk for one. */
const DISK_SIZE = 2 << 20;

/**
 * A disk that boots `commands` of GRUB's with the workshop's `files` in its folder `(memdisk)/`.
 * @returns the disk's name in the workshop
 */
export function grubDisk(shop: Workshop, files: readonly string[], commands: readonly string[]): string {
  shop.write('grub.cfg', `${commands.join('\n')}\n`);
  shop.write('early.cfg', 'configfile (memdisk)/grub.cfg\n');
  shop.run('tar', 'cf', 'files.tar', 'grub.cfg', ...files);
  const image = ['-O', 'i386-pc', '-p', '(memdisk)/', '-c', 'early.cfg', '-m', 'files.tar', '-o', 'core.img'];
  shop.run(MKIMAGE!, '-d', dirname(BOOT_SECTOR!), ...image, ...MODULES);
  shop.run('cp', BOOT_SECTOR!, 'disk.img');
  const disk = Buffer.alloc(DISK_SIZE);
  disk.set(shop.read('disk.img'));
  disk.set(shop.read('core.img'), 512);
  shop.write('disk.img', disk);
  return 'disk.img';
}
