/** The guest images that come with this package, by short names: `@kernel`, and the programs such as `@hello`. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SIGN = '@';
const EXTENSION = '.elf';

/** A file or folder of the package: this file's distance from its root differs between sources and compiled code. */
export function packagePath(path: string): string {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, 'package.json'))) root = dirname(root);
  return join(root, path);
}

/** Folders of the package that hold images. */
const imageFolders = (): readonly string[] => ['build', 'build/user'].map(packagePath);

/**
 * The file that a user's argument means: `@NAME` is a packed image, all else is a path (`./@NAME` a file of that name).
 * @returns undefined when there is no packed image of that name.
 */
export function imagePath(argument: string): string | undefined {
  if (!argument.startsWith(SIGN)) return argument;
  const name = argument.slice(SIGN.length);
  if (name.includes('/')) return undefined;
  return imageFolders()
    .map((folder) => join(folder, `${name}${EXTENSION}`))
    .find(existsSync);
}

/** Names of all packed images. */
export function packedImages(): string[] {
  const names = (folder: string): string[] =>
    readdirSync(folder)
      .filter((file) => file.endsWith(EXTENSION))
      .map((file) => SIGN + file.slice(0, -EXTENSION.length))
      .sort();
  return imageFolders().filter(existsSync).flatMap(names);
}
