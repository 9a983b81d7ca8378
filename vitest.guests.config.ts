import { defineConfig } from 'vitest/config';

/** The tests of foreign images (`make test-guests`). */
export default defineConfig({
  test: {
    include: ['test/guests/*.guest.ts'],
    pool: 'forks',
    maxWorkers: 2, // each boots a guest, which takes one core
    testTimeout: 600_000,
    hookTimeout: 600_000,
    reporters: ['verbose'],
  },
});
