/** @module What the front waits for, told to the Workers that can bring it (device-memory.ts, invariant 2): the want is
 *  stored first and the mark looked at again afterwards, so that no wake-up is lost. */
import * as at from "../../../wasm/ring/layout.ts";
import type { DeviceMemory } from "./device-memory.ts";

export class Wants {
  /** A mark came between the look at it and the want: look again. */
  met = false;

  constructor(private readonly device: DeviceMemory) {}

  clear(): void {
    this.met = false;
    this.device.set(at.WANT_ROOM, 0);
    this.device.set(at.WANT_DURABLE, 0);
    this.device.set(at.WANT_ON_TAPE, 0);
  }

  room(bytes: number): void {
    const { device } = this;
    const wanted = device.get(at.WANT_ROOM);
    if (wanted === 0 || bytes < wanted) device.set(at.WANT_ROOM, bytes);
    if (device.ring.room() >= bytes) this.met = true;
  }

  /** Room for a contiguous place: what must be left out before it is lost to a PAD. */
  place(bytes: number): void {
    this.room(this.device.ring.placeBytes(bytes));
  }

  /** Room to fill the stripe up. */
  stripe(): void {
    this.room(this.device.ring.stripePadBytes());
  }

  durable(J: number): void {
    this.device.set(at.WANT_DURABLE, J);
    this.device.wakeCache();
    if (this.device.get(at.DURABLE) >= J) this.met = true;
  }

  onTape(J: number): void {
    this.device.set(at.WANT_ON_TAPE, J);
    this.device.wakeDrive();
    if (this.device.get(at.ON_TAPE) >= J) this.met = true;
  }
}
