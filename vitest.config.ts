import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    maxWorkers: 2, // vitest would leave one of two cores idle
    pool: 'forks', // the engine is a native library: a crash must take one file down, not the run
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default'],
  },
});
