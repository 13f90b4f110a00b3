/** @module One directing device's memory as the Workers use it: the ring, the cursors, the states and the wake-ups.
 *
 *  (1) Every cursor has one writing thread (wasm/ring/layout.ts says which); all others only read it.
 *  (2) A thread that sleeps says so first and looks again afterwards; whoever makes progress looks at the flag
 *      after it stored the progress: one of the two always sees the other, so no wake-up is lost. */

import { ptr } from "bun:ffi";
import * as at from "../../../wasm/ring/layout.ts";
import { openRing, type RingExports } from "../../../wasm/ring/ring.ts";
import { libc } from "../../base/ffi.ts";
import { createSharedMemory, type SharedMemory, viewSharedMemory } from "../../base/memory.ts";

export interface DeviceGeometry {
  readonly ringBytes: number;
  /** Data bytes of one stripe (data strips only). */
  readonly stripeBytes: number;
  /** Journal bytes that the cache array holds; 0: no cache. */
  readonly cacheBytes: number;
}

/** What is written to an eventfd. The array is held together with its address: nobody else refers to it, and once it is
 *  collected a wake-up adds whatever lies there then, mostly nothing. */
const one = wordOf(1n);

function wordOf(value: bigint): { readonly word: BigUint64Array; readonly address: number } {
  const word = new BigUint64Array([value]);
  return { word, address: Number(ptr(word)) };
}

/** Wakes whoever polls this eventfd. */
export function signal(eventfd: number): void {
  if (eventfd >= 0) libc.write(eventfd, one.address, 8);
}

export class DeviceMemory {
  readonly shared: SharedMemory;
  readonly ring: RingExports;
  readonly ringBytes: number;

  private constructor(shared: SharedMemory) {
    this.shared = shared;
    this.ring = openRing(shared.memory);
    this.ringBytes = this.ring.get(at.RING_BYTES);
  }

  /** Called once, on main, before any Worker sees the memory. */
  static create(geometry: DeviceGeometry): DeviceMemory {
    const shared = createSharedMemory(at.RING + geometry.ringBytes);
    const ring = openRing(shared.memory);
    ring.set(at.RING_BYTES, geometry.ringBytes);
    ring.set(at.STRIPE_BYTES, geometry.stripeBytes);
    ring.set(at.CACHE_BYTES, geometry.cacheBytes);
    for (const word of [at.COUPLED, at.FRONT_EVENTFD, at.CACHE_EVENTFD, at.DRIVE_EVENTFD])
      shared.words[word / 4] = -1;
    ring.set(at.IMAGE_START, -1);
    return new DeviceMemory(shared);
  }

  static view(memory: WebAssembly.Memory): DeviceMemory {
    return new DeviceMemory(viewSharedMemory(memory));
  }

  get(cursor: number): number {
    return this.ring.get(cursor);
  }

  set(cursor: number, value: number): void {
    this.ring.set(cursor, value);
  }

  word(offset: number): number {
    return Atomics.load(this.shared.words, offset >> 2);
  }

  setWord(offset: number, value: number): void {
    Atomics.store(this.shared.words, offset >> 2, value);
  }

  figure(offset: number): number {
    return this.shared.view.getFloat64(offset, true);
  }

  setFigure(offset: number, value: number): void {
    this.shared.view.setFloat64(offset, value, true);
  }

  addFigure(offset: number, value: number): void {
    this.shared.view.setFloat64(offset, this.shared.view.getFloat64(offset, true) + value, true);
  }

  /** Memory offset of journal offset J in the ring. */
  inRing(J: number): number {
    return at.RING + (J % this.ringBytes);
  }

  /** The whole image of the loaded cartridge, as far as it came: where it begins, with that entry's sequence number; null:
   *  it was begun before this journal, or the cache has no room for all of it any more. */
  wholeImage(): { readonly J: number; readonly sequence: number } | null {
    const J = this.get(at.IMAGE_START);
    const sequence = this.get(at.IMAGE_START_SEQUENCE);
    if (J < 0 || this.get(at.IMAGE_START) !== J || !this.cacheActive) return null;
    // The head overwrites nothing that lies less than the cache's length behind it.
    return this.get(at.RECEIVED) - J <= this.get(at.CACHE_BYTES) ? { J, sequence } : null;
  }

  get cacheActive(): boolean {
    const state = this.word(at.CACHE_STATE);
    return state === at.CACHE_HEALTHY || state === at.CACHE_DEGRADED;
  }

  /** After RECEIVED moved (or an order was put): wakes the readers that sleep and now have something to do. */
  wakeReaders(): void {
    const received = this.ring.get(at.RECEIVED);
    if (this.word(at.DRIVE_SLEEPS) === 1 && received > this.ring.get(at.DRIVE_WAITS_FOR)) this.wakeDrive();
    if (this.word(at.CACHE_SLEEPS) === 1 && received >= this.ring.get(at.CACHE_WAITS_FOR)) this.wakeCache();
  }

  wakeDrive(): void {
    this.setWord(at.DRIVE_SLEEPS, 0);
    signal(this.word(at.DRIVE_EVENTFD));
  }

  wakeCache(): void {
    this.setWord(at.CACHE_SLEEPS, 0);
    signal(this.word(at.CACHE_EVENTFD));
  }

  wakeFront(): void {
    signal(this.word(at.FRONT_EVENTFD));
  }

  /** After CACHED, DURABLE, TAKEN or ON_TAPE moved: wakes the front if that is what it waits for. */
  wakeFrontIfWanted(): void {
    const room = this.ring.get(at.WANT_ROOM);
    const durable = this.ring.get(at.WANT_DURABLE);
    const onTape = this.ring.get(at.WANT_ON_TAPE);
    if (
      (room > 0 && this.ring.room() >= room) ||
      (durable > 0 && this.ring.get(at.DURABLE) >= durable) ||
      (onTape > 0 && this.ring.get(at.ON_TAPE) >= onTape)
    ) {
      this.wakeFront();
    }
  }
}
