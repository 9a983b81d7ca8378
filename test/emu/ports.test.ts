/** The port bus: the serial port (PC16550D, table II), the ways to end the machine, and ports without a device. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PortBus } from '../../emu/devices/ports.js';
import { MICROVM_POWER, type PowerEvent, powerDevices } from '../../emu/devices/power.js';
import { Uart } from '../../emu/devices/uart.js';
import { phys } from '../../emu/memory/address.js';
import { AT, Bare } from './bare.js';

const COM1 = 0x3f8;

describe('the serial port', () => {
  let sent: number[];
  let uart: Uart;
  beforeEach(() => {
    sent = [];
    uart = new Uart(COM1, (byte) => sent.push(byte));
  });

  test.each([
    ['receive buffer', 0, 0],
    ['interrupt enable', 1, 0],
    ['interrupt identification: none pending', 2, 1],
    ['line control', 3, 0],
    ['modem control', 4, 0],
    ['line status: both transmitter bits', 5, 0x60],
    ['modem status: carrier, data set ready, clear to send', 6, 0xb0],
    ['scratch', 7, 0],
  ])('%s after reset', (_name, offset, value) => {
    expect(uart.read(offset)).toBe(value);
  });

  test.each([
    ['interrupt enable', 1, 0x0f, 0x0f],
    ['the FIFOs show in the identification', 2, 1, 0xc1],
    ['line control', 3, 0x1b, 0x1b],
    ['modem control', 4, 0x0b, 0x0b],
    ['line status is read-only', 5, 0, 0x60],
    ['modem status is read-only', 6, 0, 0xb0],
    ['scratch', 7, 0xa5, 0xa5],
  ])('%s', (_name, offset, written, read) => {
    uart.write(offset, written);
    expect(uart.read(offset)).toBe(read);
  });

  test('DLAB switches the first two registers to the divisor and back', () => {
    uart.write(1, 5);
    uart.write(3, 0x83);
    uart.write(0, 0x0c);
    uart.write(1, 0x01);
    expect([uart.read(0), uart.read(1)]).toEqual([0x0c, 0x01]);
    uart.write(3, 0x03);
    expect([uart.read(0), uart.read(1)]).toEqual([0, 5]);
    expect(sent).toEqual([]);
  });

  test('what is sent goes out in order, what arrives waits in order', () => {
    for (const byte of Buffer.from('hey')) uart.write(0, byte);
    expect(Buffer.from(sent).toString()).toBe('hey');
    uart.receive(Buffer.from('ab'));
    expect(uart.read(5) & 1).toBe(1);
    expect([uart.read(0), uart.read(0)]).toEqual([0x61, 0x62]);
    expect(uart.read(5) & 1).toBe(0);
  });

  test('a loop-back returns what is sent', () => {
    uart.write(4, 0x10);
    uart.write(0, 0x5a);
    expect(uart.read(0)).toBe(0x5a);
    expect(sent).toEqual([]);
  });

  test('a hundred thousand bytes of input are no burden', () => {
    uart.receive(Buffer.alloc(300_000, 7));
    let count = 0;
    while ((uart.read(5) & 1) !== 0) count += uart.read(0) / 7;
    expect(count).toBe(300_000);
  });
});

describe('power', () => {
  test.each<[string, number, number, number, PowerEvent | undefined]>([
    ['debug exit', 0xf4, 1, 3, { kind: 'debug-exit', value: 3 }],
    ['debug exit with 32 bits', 0xf4, 4, 0x1_0000, { kind: 'debug-exit', value: 0x1_0000 }],
    ['ACPI sleep of QEMU', 0x604, 2, 0x2000, { kind: 'poweroff' }],
    ['ACPI sleep with a type', 0x604, 2, 0x3400, { kind: 'poweroff' }],
    ['ACPI without SLP_EN', 0x604, 2, 0x0001, undefined],
    ['ACPI sleep of older machines', 0xb004, 2, 0x2000, { kind: 'poweroff' }],
    ['keyboard controller reset', 0x64, 1, 0xfe, { kind: 'reset' }],
    ['another keyboard command', 0x64, 1, 0xd1, undefined],
    ['reset control', 0xcf9, 1, 0x06, { kind: 'reset' }],
    ['reset control, prepared only', 0xcf9, 1, 0x02, undefined],
  ])('%s', (_name, port, size, value, expected) => {
    const events: PowerEvent[] = [];
    new PortBus(powerDevices((event) => events.push(event), MICROVM_POWER)).write(port, size, value);
    expect(events).toEqual(expected === undefined ? [] : [expected]);
  });
});

describe('from the guest', () => {
  let bare: Bare;
  beforeEach(async () => {
    bare = new Bare();
    await bare.haltingHandlers();
  });
  afterEach(() => bare.close());

  test.each([
    ['in $0x80, %al', 0xff],
    ['in $0x80, %ax', 0xffff],
    ['in $0x80, %eax', 0xffff_ffff],
    ['in $0x64, %al', 0],
  ])('%s without a device floats, and keeps the upper bits as the size demands', async (code, value) => {
    await bare.code(`xor %eax, %eax\n${code}\nint3`);
    expect(bare.stoppedIn()).toBe(3);
    expect(bare.reg('rax')).toBe(BigInt(value));
  });

  test('a byte written is a byte, whatever the rest of RAX is; events tell port, size and value', async () => {
    const events: unknown[] = [];
    bare.machine.events.on('port', (event) => events.push(event));
    await bare.code('mov $0x12345678, %eax\nout %al, $0x80\nout %ax, $0x80\nout %eax, $0x80\nint3');
    expect(bare.stoppedIn()).toBe(3);
    expect(events).toMatchObject([
      { direction: 'out', port: 0x80, size: 1, value: 0x78, time: 1 },
      { direction: 'out', port: 0x80, size: 2, value: 0x5678, time: 2 },
      { direction: 'out', port: 0x80, size: 4, value: 0x1234_5678, time: 3 },
    ]);
  });

  test('a string of bytes through OUTSB reaches the console', async () => {
    const text: number[] = [];
    const other = new Bare({ console: (byte) => text.push(byte) });
    await other.code(
      `jmp go\ntext: .ascii "hello"\ngo: lea text(%rip), %rsi\nmov $5, %ecx\nmov $${COM1}, %edx\nrep outsb\nhlt`,
    );
    expect(other.machine.run({ budget: 100 }).kind).toBe('hang');
    expect(Buffer.from(text).toString()).toBe('hello');
    other.close();
  });

  test.each(['in $0x80, %al', 'out %al, $0xf4', 'in %dx, %eax', 'out %eax, %dx', 'in %dx, %ax'])(
    '%s in ring 3 without permission is #GP at the instruction, and does nothing',
    async (code) => {
      let accesses = 0;
      bare.machine.events.on('port', () => accesses++);
      const labels = await bare.code(
        `mov $0xf4, %edx\nmov $0x1234, %eax\nat: ${code}\nnop\nnop`,
        AT.userCode,
      );
      bare.enterUser();
      expect(bare.stoppedIn()).toBe(13);
      expect(bare.frame(true)).toMatchObject({ errorCode: 0, rip: labels.get('at') });
      expect(bare.reg('rax')).toBe(0x1234n);
      expect(accesses).toBe(0);
    },
  );

  test.each([
    ['IOPL 3 opens all ports', 0x3002, true],
    ['IOPL 2 does not open them to ring 3', 0x2002, false],
  ])('%s', async (_name, flags, open) => {
    await bare.code('out %al, $0x80\nud2', AT.userCode);
    bare.enterUser(AT.userCode, flags);
    expect(bare.stoppedIn()).toBe(open ? 6 : 13);
  });

  test.each([
    ['a clear bit in the map of the TSS opens a port', 1, 0x00, 6],
    ['a set bit closes it', 1, 0x02, 13],
    ['each byte of a wider access needs its bit', 4, 0x10, 13],
    ['bits of other ports do not count', 4, 0xe1, 6],
  ])('%s', async (_name, size, bits, vector) => {
    // The map begins behind the TSS; port 0x81 is bit 1 of its byte 0x10.
    bare.machine.memory.writePhysical(phys(AT.tss + 0x68), Buffer.alloc(0x20));
    bare.machine.memory.writePhysical(phys(AT.tss + 0x68 + 0x10), Uint8Array.of(bits));
    await bare.code(`mov $0x81, %edx\nout ${size === 1 ? '%al' : '%eax'}, %dx\nud2`, AT.userCode);
    bare.enterUser();
    bare.cpu.state.setTr({ ...bare.cpu.state.tr, limit: 0x88 });
    expect(bare.stoppedIn()).toBe(vector);
  });
});
