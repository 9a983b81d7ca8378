import { ImageError } from '../../emu/boot/image-error.js';

/** What is expected in a Linux kernel and is not there, or cannot be read. The message is one sentence: what was expected, what was found. */
export class LinuxError extends ImageError {}
