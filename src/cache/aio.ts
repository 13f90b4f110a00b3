/** @module Several disks write at once: one vectored write a member, submitted together and waited for together, by the
 *  kernel's asynchronous I/O (io_submit). A blocking pwritev one member after the other would make an array as slow as
 *  one disk. Truly asynchronous with O_DIRECT; elsewhere the kernel carries the writes out one by one, as well.
 *
 *      struct iocb (64 bytes)      0 data | 16 opcode u16 | 20 fd u32 | 24 iovecs u64 | 32 count u64 | 40 offset s64
 *      struct io_event (32 bytes)  0 data | 16 result s64
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { MEMBERS_MAX } from "../../wasm/stripe/layout.ts";
import { checked, EINTR } from "../base/ffi.ts";

/** One vectored write a member; results are bytes or -errno. Used again and again. */
export class WriteBatch {
  count = 0;
  readonly members = new Int32Array(MEMBERS_MAX);
  readonly fds = new Int32Array(MEMBERS_MAX);
  /** Native addresses. */
  readonly iovecs = new Float64Array(MEMBERS_MAX);
  readonly results = new Float64Array(MEMBERS_MAX);
  iovecCount = 0;
  offset = 0;

  add(member: number, fd: number, iovecs: number): void {
    this.members[this.count] = member;
    this.fds[this.count] = fd;
    this.iovecs[this.count] = iovecs;
    this.count++;
  }
}

const IOCB_BYTES = 64;
const EVENT_BYTES = 32;
const IOCB_CMD_PWRITEV = 8;
const NUMBERS = {
  x64: { setup: 206, getevents: 208, submit: 209 },
  arm64: { setup: 0, getevents: 4, submit: 2 },
} as const;

const word = FFIType.i64_fast;
const { symbols } = dlopen("libc.so.6", {
  syscall: { args: [word, word, word, word, word, word], returns: word },
});

export class AsyncWrites {
  readonly #numbers: { readonly getevents: number; readonly submit: number };
  readonly #context: number;
  // Over buffers made first: a small array of its own would move once somebody asks for its buffer.
  readonly #iocbs = new DataView(new ArrayBuffer(IOCB_BYTES * MEMBERS_MAX));
  readonly #pointers = new DataView(new ArrayBuffer(8 * MEMBERS_MAX));
  readonly #events = new DataView(new ArrayBuffer(EVENT_BYTES * MEMBERS_MAX));
  readonly #pointersAddress = Number(ptr(this.#pointers.buffer));
  readonly #eventsAddress = Number(ptr(this.#events.buffer));

  private constructor(context: number, numbers: { readonly getevents: number; readonly submit: number }) {
    this.#context = context;
    this.#numbers = numbers;
    const iocbs = Number(ptr(this.#iocbs.buffer));
    for (let i = 0; i < MEMBERS_MAX; i++) put64(this.#pointers, i * 8, iocbs + i * IOCB_BYTES);
  }

  /** null: not to be had here (an old or guarded kernel, another processor, the system's limit). */
  static open(): AsyncWrites | null {
    const numbers = process.arch === "x64" || process.arch === "arm64" ? NUMBERS[process.arch] : null;
    if (numbers === null) return null;
    const context = new DataView(new ArrayBuffer(8));
    const address = Number(ptr(context.buffer));
    if (checked(symbols.syscall(numbers.setup, MEMBERS_MAX, address, 0, 0, 0)) < 0) return null;
    return new AsyncWrites(context.getUint32(0, true) + context.getUint32(4, true) * 2 ** 32, numbers);
  }

  /** Submits all and waits for all. Returns how many of the first were submitted; the others were not tried. */
  write(batch: WriteBatch): number {
    for (let i = 0; i < batch.count; i++) {
      const at = i * IOCB_BYTES;
      put64(this.#iocbs, at, i);
      this.#iocbs.setUint16(at + 16, IOCB_CMD_PWRITEV, true);
      this.#iocbs.setInt32(at + 20, batch.fds[i] ?? -1, true);
      put64(this.#iocbs, at + 24, batch.iovecs[i] ?? 0);
      put64(this.#iocbs, at + 32, batch.iovecCount);
      put64(this.#iocbs, at + 40, batch.offset);
    }
    const { submit, getevents } = this.#numbers;
    let submitted = 0;
    while (submitted < batch.count) {
      const from = this.#pointersAddress + submitted * 8;
      const got = checked(symbols.syscall(submit, this.#context, batch.count - submitted, from, 0, 0));
      if (got === -EINTR) continue;
      if (got <= 0) break;
      submitted += got;
    }
    for (let left = submitted; left > 0; ) {
      const got = checked(symbols.syscall(getevents, this.#context, left, left, this.#eventsAddress, 0));
      // Buffers are in the kernel's hands until their events came: there is no way out but to go on waiting.
      if (got < 0) continue;
      for (let i = 0; i < got; i++) {
        const at = i * EVENT_BYTES;
        const low = this.#events.getUint32(at + 16, true);
        batch.results[this.#events.getUint32(at, true)] =
          low + this.#events.getInt32(at + 20, true) * 2 ** 32;
      }
      left -= got;
    }
    return submitted;
  }
}

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
