/** The protocol as it goes over the wire, without gdb: answers to packets, and that nothing a client sends can do harm. */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { Machine, type Outcome } from '../../emu/machine.js';
import { endingOf } from '../../src/cli/outcome.js';
import { Listener } from '../../src/gdb/connection.js';
import { ConsoleGate } from '../../src/gdb/console-gate.js';
import { Debugger } from '../../src/gdb/debugger.js';
import { framed, PacketReader } from '../../src/gdb/packets.js';
import { REGISTERS } from '../../src/gdb/registers.js';
import { KERNEL, program } from '../system/run.js';

const kernel = readFileSync(KERNEL);
/** A packet with text for gdb's user. */
const SAID = /^O[0-9a-f]/;
const LIMIT_MS = 20_000;
const GUEST = {
  image: { name: '@kernel', digest: undefined },
  modules: [],
  commandLine: '',
  cpus: 2,
  ram: 64 << 20,
  turn: 2000,
  patches: [],
};

/** A guest that waits for gdb, and a client in gdb's place. */
class Client {
  readonly machine: Machine;
  readonly outcome: Promise<Outcome>;
  readonly #listener: Listener;
  #socket: Socket | undefined;
  #reader = new PacketReader();
  #replies: string[] = [];
  #heard: () => void = () => {};
  acks = '';
  readonly #events: string[] = [];
  #isStopped = false;

  private constructor(machine: Machine, listener: Listener, gate: ConsoleGate) {
    this.machine = machine;
    this.#listener = listener;
    this.outcome = new Debugger(machine, {
      ...{ listener, gate, guest: GUEST, budget: 2_000_000, isReversible: true },
      endingOf: (outcome) => endingOf(outcome, machine),
      interrupted: () => this.#isStopped,
      onGdb: (event) => this.#events.push(event),
    }).run();
  }

  static async open(name = 'hello'): Promise<Client> {
    const gate = new ConsoleGate(() => {});
    const machine = new Machine({ cpus: 2, console: gate.put });
    const bytes = readFileSync(program(name));
    machine.load(kernel, { modules: [{ bytes, commandLine: name }] });
    const client = new Client(machine, await Listener.open({ host: '127.0.0.1', port: 0 }), gate);
    await client.connect();
    return client;
  }

  async connect(): Promise<void> {
    const [, port] = /:(\d+)$/.exec(this.#listener.target)!;
    const socket = connect(Number(port), '127.0.0.1').setNoDelay(true);
    this.#reader = new PacketReader();
    this.#replies = [];
    socket.on('data', (bytes) => {
      for (const arrival of this.#reader.feed(bytes))
        if (arrival.kind === 'packet') this.#replies.push(arrival.body.toString('latin1'));
        else this.acks += arrival.kind[0];
      this.#heard();
    });
    socket.on('error', () => {});
    await new Promise<void>((done) => socket.on('connect', () => done()));
    this.#socket = socket;
  }

  send(bytes: Uint8Array | string): void {
    this.#socket!.write(bytes);
  }

  /** The next reply; what gdb is only to print is passed over. */
  async reply(): Promise<string> {
    for (;;) {
      const reply = this.#replies.shift();
      if (reply !== undefined && !SAID.test(reply)) return reply;
      if (reply !== undefined) continue;
      await new Promise<void>((heard) => {
        this.#heard = heard;
      });
    }
  }

  async ask(body: string | Uint8Array): Promise<string> {
    this.send(framed(body));
    const late = new AbortController();
    const isLate = sleep(LIMIT_MS, 'late', { signal: late.signal }).catch(() => '');
    const reply = await Promise.race([this.reply(), isLate]);
    if (reply === 'late')
      throw new Error(`expected a reply to ${JSON.stringify(Buffer.from(body).toString('latin1'))}`);
    late.abort();
    return reply;
  }

  async command(line: string): Promise<string> {
    const reply = await this.ask(`qRcmd,${Buffer.from(line).toString('hex')}`);
    return Buffer.from(reply, 'hex').toString();
  }

  drop(): void {
    this.#socket!.destroy();
  }

  /** Waits until the guest has noticed. */
  async lost(): Promise<void> {
    while (!this.#events.includes('lost')) await setImmediate();
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    this.drop();
    await this.outcome;
    this.#listener.close();
    this.machine.close();
  }
}

let client: Client;
afterEach(() => client.close());

describe('a session', () => {
  it('answers what it knows', async () => {
    client = await Client.open();
    const name = (register: string): string =>
      REGISTERS.findIndex((each) => each.name === register).toString(16);
    const rows: readonly (readonly [packet: string, reply: string | RegExp])[] = [
      ['?', 'T05thread:1;'],
      ['qSupported:swbreak+;hwbreak+', /^PacketSize=4000;.*;ReverseStep\+;ReverseContinue\+$/],
      ['vMustReplyEmpty', ''],
      ['qfThreadInfo', 'm1,2'],
      ['qsThreadInfo', 'l'],
      ['qThreadExtraInfo,2', Buffer.from('CPU 1 [wait-for-sipi]').toString('hex')],
      ['qC', 'QC1'],
      ['qAttached', '1'],
      ['T2', 'OK'],
      ['T3', 'E16'],
      ['Hg2', 'OK'],
      ['Hg9', 'E16'],
      ['Hg1', 'OK'],
      ['Hx1', 'E16'],
      ['qXfer:features:read:target.xml:0,15', 'm<?xml version="1.0"?>'],
      ['qXfer:features:read:other.xml:0,15', 'E00'],
      ['qXfer:features:read:target.xml:ffffffff,10', 'l'],
      [`p${name('cr0')}`, '1100000000000000'],
      [`P${name('rbx')}=0102030405060708`, 'OK'],
      [`p${name('rbx')}`, '0102030405060708'],
      [`P${name('cr3')}=0000000000000000`, 'E16'],
      [`P${name('rbx')}=00`, 'E16'],
      ['pfff', 'E16'],
      ['M1000,2:abcd', 'OK'],
      ['m1000,2', 'abcd'],
      ['m3fffffe,4', '0000'], // as much as there is
      ['m80000000,4', 'E0e'],
      ['m1000', 'E16'],
      ['M1000,3:abcd', 'E16'],
      ['X1000,0:', 'OK'],
      ['Z0,1000,1', 'OK'],
      ['z0,1000,1', 'OK'],
      ['Z2,80000000,8', 'E0e'],
      ['Z9,1000,1', ''],
      ['vCont?', 'vCont;c;C;s;S'],
      ['vCont;x', 'E16'],
      ['s', 'T05thread:1;'],
      ['bs', 'T05thread:1;'],
      ['bz', 'E16'],
      ['vCont;s:2', 'T05thread:2;'],
      ['nonsense', ''],
      ['', ''],
    ];
    for (const [packet, reply] of rows)
      expect([packet, await client.ask(packet)]).toEqual([
        packet,
        typeof reply === 'string' ? reply : expect.stringMatching(reply),
      ]);
  });

  it('acknowledges packets until it is told not to, and sends the last one again', async () => {
    client = await Client.open();
    await client.ask('?');
    expect(client.acks).toBe('a');
    client.send('$?#00');
    client.send('-');
    expect(await client.reply()).toBe('T05thread:1;');
    expect(client.acks).toBe('an');
    await client.ask('QStartNoAckMode');
    await client.ask('?');
    expect(client.acks).toBe('ana');
  });

  it('writes bytes as they are with X', async () => {
    client = await Client.open();
    const bytes = Buffer.from([0x23, 0x24, 0x7d, 0x2a, 0, 0xff]);
    expect(await client.ask(Buffer.concat([Buffer.from('X1000,6:'), bytes]))).toBe('OK');
    expect(await client.ask('m1000,6')).toBe(bytes.toString('hex'));
  });

  it('runs code that gdb has written', async () => {
    client = await Client.open();
    await client.ask('s');
    await client.ask('Hg1');
    const at = (await client.ask('p10')).match(/../g)!.reverse().join('');
    await client.ask('bs');
    expect(await client.ask(`M${at},3:909090`)).toBe('OK');
    for (let count = 0; count < 3; count++) await client.ask('vCont;s:1;c');
    const now = (await client.ask('p10')).match(/../g)!.reverse().join('');
    expect(BigInt(`0x${now}`)).toBe(BigInt(`0x${at}`) + 2n);
  });

  it('waits for another gdb when one has gone without a word, and runs on when one lets it go', async () => {
    client = await Client.open();
    await client.ask('s');
    client.drop();
    await client.lost();
    await client.connect();
    expect(await client.command('schedule')).toContain(' do=1 ');
    expect(await client.ask('D')).toBe('OK');
    expect(await client.outcome).toEqual({ kind: 'poweroff' });
  });

  it('hears Ctrl-C right behind the packet that lets the guest go', async () => {
    client = await Client.open('echo');
    client.send('\x03');
    client.send(Buffer.concat([framed('vCont;c'), Buffer.of(3)]));
    expect(await client.reply()).toMatch(/^T02thread:/);
    expect(await client.ask('?')).toMatch(/^T02thread:/);
  });

  it('tells the end of the guest', async () => {
    client = await Client.open();
    expect(await client.ask('vCont;c')).toBe('W00');
    expect(await client.outcome).toEqual({ kind: 'poweroff' });
  });
});

/** First letters of packets that move the guest on or end the session. */
const ENDING = /^(?:[cCDk]|vCont;[cC]|vKill)/;

describe('whatever a client sends', () => {
  const valid = fc.constantFrom(
    ...['g', 'p10', 'P3=00', 'm1000,8', 'M1000,1:00', 'X1000,1:a', 'Hg1', 'T1', 's', 'bs', 'bc', 'Z0,1000,1'],
    ...['z2,1000,8', 'Z2,1000,8', 'vCont;s:1', 'qSupported:a+', 'qXfer:features:read:target.xml:0,10'],
    ...['qRcmd,6e6d69', 'qRcmd,72657374', 'qThreadExtraInfo,1', 'vCont;s:2;c', 'G00', 'QStart'],
  );
  const body = fc
    .oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc
        .tuple(valid, fc.nat(12), fc.uint8Array({ maxLength: 6 }))
        .map(([packet, cut, tail]) => Buffer.concat([Buffer.from(packet.slice(0, cut)), tail])),
      fc
        .tuple(fc.constantFrom(...'gGpPmMXHTsbZzvqQ?'), fc.string({ maxLength: 20 }))
        .map(([letter, rest]) => Buffer.from(letter + rest)),
      valid.map((packet) => Buffer.from(packet)),
    )
    .filter((bytes) => !ENDING.test(Buffer.from(bytes).toString('latin1')));

  it('is answered', async () => {
    client = await Client.open();
    await fc.assert(
      fc.asyncProperty(fc.array(body, { maxLength: 20 }), async (packets) => {
        for (const packet of packets) {
          const reply = await client.ask(packet);
          if (!reply.startsWith('W')) continue;
          await client.close(); // the guest has ended, as after a jump to nowhere
          client = await Client.open();
        }
        expect(await client.ask('qC')).toMatch(/^QC[12]$/);
      }),
      { numRuns: 100 },
    );
  });

  it('leaves the session as it is where it is no packet', async () => {
    client = await Client.open();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (noise) => {
        const harmless = Buffer.from(noise.map((byte) => (byte === 0x23 || byte === 0x2d ? 0x20 : byte)));
        client.send(harmless);
        expect(await client.ask('qC')).toBe('QC1');
      }),
      { numRuns: 100 },
    );
  });
});
