import { defineConfig } from 'vitest/config';

/** The tests of foreign images (`make test-guests`): each boots one, which takes a while. */
export default defineConfig({
  test: {
    include: ['test/guests/*.guest.ts'],
    pool: 'forks',
    testTimeout: 600_000,
    reporters: ['verbose'],
  },
});
