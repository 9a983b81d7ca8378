/** Foreign images and loaders, where `scripts/fetch-package` has put Debian's packages. Tests that need them are skipped without. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PACKAGES = join(tmpdir(), 'unwindlab-packages');

/** The first file in a folder of the packages whose name fits; `undefined` where there is none. */
export function packaged(folder: string, name: RegExp): string | undefined {
  const path = join(PACKAGES, folder);
  try {
    const file = readdirSync(path).find((each) => name.test(each));
    return file && join(path, file);
  } catch {
    return undefined;
  }
}
