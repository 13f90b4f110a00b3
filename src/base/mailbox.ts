/** @module Orders from the main thread to a Worker that loops in FFI and so never gets a postMessage.
 *  One message at a time lies in shared memory as JSON; the rest queue at the sender. The Worker answers by postMessage.
 *  Control plane only: a handful of messages a minute. */
import { ptr } from "bun:ffi";
import { checked, libc } from "./ffi.ts";

const SENT = 0;
const READ = 1;
const LENGTH = 2;
const HEADER_BYTES = 16;

export interface MailboxMemory {
  readonly buffer: SharedArrayBuffer;
  /** Wakes the Worker; it polls this beside whatever else it waits for. */
  readonly eventfd: number;
}

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

export function createMailbox(capacityBytes = 262144): MailboxMemory {
  const eventfd = checked(libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (eventfd < 0) throw new Error(`eventfd: ${eventfd}`);
  return { buffer: new SharedArrayBuffer(HEADER_BYTES + capacityBytes), eventfd };
}

/** The sending end, on main. Call `pump` when the Worker says that it has read (any message of it will do). */
export class MailboxSender {
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly queue: string[] = [];
  private readonly one = new BigUint64Array([1n]);

  constructor(private readonly memory: MailboxMemory) {
    this.words = new Int32Array(memory.buffer, 0, 4);
    this.bytes = new Uint8Array(memory.buffer, HEADER_BYTES);
  }

  send(message: object): void {
    this.queue.push(JSON.stringify(message));
    this.pump();
  }

  get idle(): boolean {
    return this.queue.length === 0 && Atomics.load(this.words, SENT) === Atomics.load(this.words, READ);
  }

  pump(): void {
    if (this.queue.length === 0 || Atomics.load(this.words, SENT) !== Atomics.load(this.words, READ)) return;
    const encoded = new TextEncoder().encode(this.queue.shift()!);
    if (encoded.length > this.bytes.length)
      throw new Error(`order of ${encoded.length} bytes exceeds the mailbox`);
    this.bytes.set(encoded);
    this.words[LENGTH] = encoded.length;
    Atomics.add(this.words, SENT, 1);
    libc.write(this.memory.eventfd, Number(ptr(this.one)), 8);
  }
}

/** The receiving end, in the Worker. */
export class MailboxReceiver {
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly counter = new BigUint64Array(new ArrayBuffer(8));
  private readonly counterAddress: number;

  constructor(private readonly memory: MailboxMemory) {
    this.words = new Int32Array(memory.buffer, 0, 4);
    this.bytes = new Uint8Array(memory.buffer, HEADER_BYTES);
    this.counterAddress = Number(ptr(this.counter));
  }

  /** Takes the eventfd back to zero, so that the next poll sleeps. */
  clearSignal(): void {
    libc.read(this.memory.eventfd, this.counterAddress, 8);
  }

  /** An order has come. */
  get waiting(): boolean {
    return Atomics.load(this.words, SENT) !== Atomics.load(this.words, READ);
  }

  /** The next order, or null. */
  receive(): unknown {
    if (!this.waiting) return null;
    const text = new TextDecoder().decode(this.bytes.slice(0, this.words[LENGTH]));
    Atomics.add(this.words, READ, 1);
    return JSON.parse(text);
  }
}
