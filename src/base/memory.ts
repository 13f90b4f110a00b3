/** @module Shared memory that every thread and every FFI call sees at one native address.
 *  Allocated at full size at once and never grown: a view made once stays right (pages are committed when touched). */
import { ptr } from "bun:ffi";

const PAGE_BYTES = 65536;

export interface SharedMemory {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** 32-bit words for Atomics. */
  readonly words: Int32Array;
  /** Native address of byte 0, the same in every thread. */
  readonly base: number;
}

/** `bytes` is rounded up to whole 64 KiB pages; at most 4 GiB. */
export function createSharedMemory(bytes: number): SharedMemory {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  return viewSharedMemory(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }));
}

/** Views over a memory that came from another thread. */
export function viewSharedMemory(memory: WebAssembly.Memory): SharedMemory {
  const bytes = new Uint8Array(memory.buffer);
  return {
    memory,
    bytes,
    view: new DataView(memory.buffer),
    words: new Int32Array(memory.buffer),
    base: Number(ptr(bytes)),
  };
}
