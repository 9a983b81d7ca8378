/**
 * The guest programs on this host's own Linux: the oracle for the guest kernel. What a program prints here, and how it
 * ends, is what its header states; the kernel's tests hold the same programs to the same statements.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { statedRuns } from './stated.js';

describe.each(statedRuns().map((run) => ({ ...run, command: [run.image, ...run.arguments].join(' ') })))(
  '$command',
  (run) => {
    const image = `build/user/${run.image}.elf`;

    test('prints and ends as stated', () => {
      expect(existsSync(image), `expected ${image}, found nothing: run make`).toBe(true);
      const result = spawnSync(image, run.arguments, { input: run.input, encoding: 'utf8', timeout: 20_000 });
      expect(result.error).toBeUndefined();
      expect(result.stdout).toBe(run.output);
      expect(result.signal ? 128 + constants.signals[result.signal] : result.status).toBe(run.exit);
    });
  },
);
