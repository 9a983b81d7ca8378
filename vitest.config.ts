import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks', // the engine is a native library: a crash must take one file down, not the run
    testTimeout: 60_000,
    reporters: ['default'],
  },
});
