/**
 * A mutant kernel: one instruction less, and the count in a cookie is no longer odd. The site is looked up in a listing, the
 * new code is assembled, padded and put into the running machine.
 *
 *     $ node examples/mutant.mjs
 *     get_cookie+0x13: orl $0x1,%edx
 *     as built: 0x300000001
 *     without:  0x200000001
 */
import { list, openGuest, openImage, patchSite, RunningKernel } from 'unwindlab';

const print = (line) => process.stdout.write(`${line}\n`);
const kernel = openImage('@kernel');
const { value: from, size } = kernel.symbols.find('get_cookie');
const window = [...(await list(kernel))].filter(({ address }) => address >= from && address < from + size);
const site = window.find(({ mnemonic }) => mnemonic === 'orl');
const patch = await patchSite(kernel, { at: site.address, with: '' });

/** The first cookie that ftrace is given. */
function firstCookie(...patches) {
  const { machine } = openGuest({ image: '@kernel', modules: ['@hello'], commandLine: 'trace=ftrace' });
  machine.run({ until: { symbol: 'start_kernel' } });
  for (const { address, after } of patches) machine.write(0, address, after);
  let first;
  new RunningKernel(machine).tap({
    ftrace: ({ cookie }) => {
      first ??= cookie;
    },
  });
  machine.run();
  machine.close();
  return `0x${first.toString(16)}`;
}

print(`${kernel.symbols.format(site.address)}: ${site.mnemonic} ${site.operands}`);
print(`as built: ${firstCookie()}`);
print(`without:  ${firstCookie(patch)}`);
