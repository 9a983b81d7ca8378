/** The port bus: which device answers which I/O ports. */

/** A device on the port bus; `offset` counts from the first of its ports. */
export interface PortDevice {
  readonly firstPort: number;
  readonly ports: number;
  read(offset: number, size: number): number;
  write(offset: number, value: number, size: number): void;
}

/** What no device answers: all bits read as one. */
export const FLOATING = 0xffff_ffff;

export class PortBus {
  readonly #devices: readonly PortDevice[];

  constructor(devices: readonly PortDevice[]) {
    this.#devices = devices;
  }

  #find(port: number): PortDevice | undefined {
    return this.#devices.find((device) => port >= device.firstPort && port < device.firstPort + device.ports);
  }

  read(port: number, size: number): number {
    const device = this.#find(port);
    const value = device === undefined ? FLOATING : device.read(port - device.firstPort, size);
    return (size === 4 ? value : value & ((1 << (8 * size)) - 1)) >>> 0;
  }

  write(port: number, size: number, value: number): void {
    const device = this.#find(port);
    device?.write(port - device.firstPort, value, size);
  }
}
