import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

/** The tests of foreign images and of free-running machines (`make test-guests`), with the libunicorn that these need. */
export default defineConfig({
  test: {
    include: ['test/guests/*.guest.ts', 'test/*/free-running.test.ts'],
    env: { UNWINDLAB_LIBUNICORN: resolve('build/guests/libunicorn.so.2') },
    pool: 'forks',
    maxWorkers: 2, // each boots a guest, which takes one core
    testTimeout: 600_000,
    hookTimeout: 600_000,
    reporters: ['verbose'],
  },
});
