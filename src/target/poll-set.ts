/** @module What poll() waits for: an array of struct pollfd in the target's memory, filled anew for each call. */
import { checked, EINTR, errorText, libc } from "../base/ffi.ts";
import type { SharedMemory } from "../base/memory.ts";
import { POLLFD_BYTES } from "../base/socket.ts";

export class PollSet {
  readonly #memory: SharedMemory;
  readonly #at: number;
  #count = 0;

  constructor(memory: SharedMemory, at: number) {
    this.#memory = memory;
    this.#at = at;
  }

  clear(): void {
    this.#count = 0;
  }

  /** A negative descriptor keeps its place and is never ready. */
  add(fd: number, events: number): void {
    const { view } = this.#memory;
    const at = this.#at + this.#count++ * POLLFD_BYTES;
    view.setInt32(at, fd, true);
    view.setInt32(at + 4, events, true);
  }

  /** The number of descriptors that are ready; 0 after the timeout or a signal. */
  wait(timeoutMs: number): number {
    const ready = checked(libc.poll(this.#memory.base + this.#at, this.#count, timeoutMs));
    if (ready < 0 && ready !== -EINTR) throw new Error(`poll: ${errorText(ready)}`);
    return Math.max(0, ready);
  }

  /** Valid where `wait` returned more than 0. */
  revents(index: number): number {
    return this.#memory.view.getInt16(this.#at + index * POLLFD_BYTES + 6, true);
  }
}
