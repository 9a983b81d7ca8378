/** A breakpoint in the middle of a block is heard once each time, however often translated code has been forgotten. */
import { afterAll, expect, it } from 'vitest';
import { AT, Bare } from './bare.js';

const bare = new Bare();
afterAll(() => bare.close());

it('is heard once behind each flush', async () => {
  const labels = await bare.code('again: nop\nnop\nmiddle: nop\nnop\njmp again');
  let heard = 0;
  bare.machine.breakpoint(labels.get('middle')!, () => {
    heard++;
    return false;
  });
  for (let round = 1; round <= 4; round++) {
    bare.machine.run({ budget: 5 });
    expect(heard).toBe(round);
    bare.machine.write(0, BigInt(AT.data), Buffer.alloc(1)); // forgets all translated code
  }
});
