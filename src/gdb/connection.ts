/** The socket between gdb and a session: packets in and out, acknowledged as long as gdb wants that. */
import { createServer, type Server, type Socket } from 'node:net';
import { type Arrival, framed, PacketReader } from './packets.js';

/** Where to listen: a port of a host, or a socket in the file system. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

const LOCALHOST = '127.0.0.1';
const LAST_PORT = 65_535;

/** Reads `[HOST:]PORT` or `unix:PATH`; undefined for anything else. Without a host only this machine can connect. */
export function parseAddress(text: string): Address | undefined {
  const [, path] = /^unix:(.+)$/s.exec(text) ?? [];
  if (path !== undefined) return { path };
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]:|([^:[\]]*):)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (!(port <= LAST_PORT)) return undefined;
  return { host: bracketed ?? (plain || LOCALHOST), port };
}

/** One gdb. */
export class Connection {
  readonly #socket: Socket;
  readonly #reader = new PacketReader();
  readonly #waiting: Buffer[] = [];
  #wake: () => void = () => {};
  #isOpen = true;
  #acknowledges = true;
  #isInterrupted = false;
  #last: Buffer | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes) => {
      for (const arrival of this.#reader.feed(bytes)) this.#take(arrival);
      this.#wake();
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      this.#isOpen = false;
      this.#wake();
    });
  }

  #take(arrival: Arrival): void {
    switch (arrival.kind) {
      case 'packet':
        this.#acknowledge('+');
        this.#isInterrupted = false; // the guest stood: there was nothing to interrupt
        this.#waiting.push(arrival.body);
        return;
      case 'damaged':
        this.#acknowledge('-');
        return;
      case 'nak':
        if (this.#acknowledges && this.#last !== undefined) this.#socket.write(this.#last);
        return;
      case 'interrupt':
        this.#isInterrupted = true;
        return;
      case 'ack':
        return;
    }
  }

  #acknowledge(sign: '+' | '-'): void {
    if (this.#acknowledges) this.#socket.write(sign);
  }

  /** From the next packet on, nothing is acknowledged. */
  stopAcknowledging(): void {
    this.#acknowledges = false;
  }

  /** Whether gdb is still there. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether Ctrl-C has come since the last question. */
  takeInterrupt(): boolean {
    const isInterrupted = this.#isInterrupted;
    this.#isInterrupted = false;
    return isInterrupted;
  }

  /** The next packet; undefined when gdb has gone, or `signal` says that nobody waits any more. */
  async next(signal: AbortSignal): Promise<Buffer | undefined> {
    for (;;) {
      const packet = this.#waiting.shift();
      if (packet !== undefined || !this.#isOpen || signal.aborted) return packet;
      await woken(signal, (wake) => {
        this.#wake = wake;
      });
    }
  }

  send(body: string | Uint8Array): void {
    this.#last = framed(body);
    this.#socket.write(this.#last);
  }

  /** Says good-bye when all has been sent. */
  close(): void {
    this.#socket.end();
  }
}

/** Takes one gdb at a time; others are turned away. */
export class Listener {
  readonly #server: Server;
  #connection: Connection | undefined;
  #isNew = false;
  #wake: () => void = () => {};

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      if (this.#connection?.isOpen) {
        socket.destroy();
        return;
      }
      this.#connection = new Connection(socket);
      this.#isNew = true;
      this.#wake();
    });
  }

  /** Begins to listen. @throws the system's error where that cannot be */
  static open(address: Address): Promise<Listener> {
    const server = createServer();
    return new Promise((done, failed) => {
      server.once('error', failed);
      server.listen(address, () => {
        server.off('error', failed);
        done(new Listener(server));
      });
    });
  }

  /** What gdb's `target remote` is to be given. */
  get target(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') return address ?? '';
    const { address: host, port } = address;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }

  /** A gdb has come that has not been taken yet. */
  get hasNew(): boolean {
    return this.#isNew;
  }

  /** That gdb. */
  take(): Connection | undefined {
    if (!this.#isNew) return undefined;
    this.#isNew = false;
    return this.#connection;
  }

  /** The next gdb; undefined when `signal` says that nobody waits any more. */
  async next(signal: AbortSignal): Promise<Connection | undefined> {
    for (;;) {
      const connection = this.take();
      if (connection !== undefined || signal.aborted) return connection;
      await woken(signal, (wake) => {
        this.#wake = wake;
      });
    }
  }

  close(): void {
    this.#connection?.close();
    this.#server.close();
  }
}

/** Waits until `wake`, which is handed over, is called, or `signal` says that nobody waits any more. */
function woken(signal: AbortSignal, hand: (wake: () => void) => void): Promise<void> {
  return new Promise((done) => {
    const wake = (): void => {
      signal.removeEventListener('abort', wake);
      done();
    };
    signal.addEventListener('abort', wake);
    hand(wake);
  });
}
