/** @module Sleeping until an eventfd says that there is something to do. */
import { ptr } from "bun:ffi";
import { libc } from "../base/ffi.ts";
import { POLLIN } from "../base/socket.ts";

export class EventSleeper {
  private readonly pollfd = new Int32Array(new ArrayBuffer(8));
  private readonly address: number;

  constructor(eventfd: number) {
    this.pollfd[0] = eventfd;
    this.address = Number(ptr(this.pollfd));
  }

  /** Returns after a signal or `timeoutMs`, whichever is first. */
  sleep(timeoutMs: number): void {
    this.pollfd[1] = POLLIN;
    libc.poll(this.address, 1, Math.ceil(Math.max(0, Math.min(timeoutMs, 60_000))));
  }
}
