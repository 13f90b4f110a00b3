/** @module What one connection sends: a queue of PDUs that are encoded only when their turn has come.
 *
 *      queue ──fill──▶ [ stage: headers, short PDUs ][ one data segment where it lies ][ tail ] ──sendmsg──▶ socket
 *
 *  (1) StatSN and the window are stamped when a PDU enters the stage: StatSN follows the order on the wire.
 *  (2) A data segment is sent from where it lies; its task is told when the last byte has gone.
 *  (3) Digests are added when a PDU enters the stage, where it is whole and no longer changes; the tail is the padding
 *      and the digest of the data segment.
 *  (4) sendmsg() never blocks; what it did not take is kept and goes on at POLLOUT. */
import { checked, EAGAIN, EINTR, libc } from "../base/ffi.ts";
import type { SharedMemory } from "../base/memory.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL } from "../base/socket.ts";
import { DIGEST_BYTES, type Digests, NO_DIGESTS } from "../iscsi/digest.ts";
import { BHS_BYTES, OP_LOGIN_RESPONSE, opcodeOf } from "../iscsi/pdu.ts";
import {
  CONTROL_OUT,
  CONTROL_OUT_BYTES,
  CONTROL_PDU_BYTES_MAX,
  IOVEC_BYTES,
  OUT_IOVECS,
  OUT_MESSAGE,
  STAGE,
  STAGE_BYTES,
  setMessage,
  setNative,
  TAIL,
  TAIL_BYTES,
} from "./region.ts";
import type { IscsiTask } from "./tasks.ts";

export const ENTRY_CONTROL = 0;
export const ENTRY_STATUS = 1;
export const ENTRY_DATA_IN = 2;
export const ENTRY_R2T = 3;

/** The largest PDU that is copied to the stage: header and sense. */
const STAGED_BYTES_MAX = 512;
const ENTRIES = 512;
/** The connection reads no further while so many answers wait. */
const ENTRIES_CONGESTED = 256;

export interface OutputSource {
  /** Encodes the next PDU of a task's entry at `at`; returns its bytes in the stage, 0 where there is nothing to send.
   *  Calls `output.keepEntry()` while more PDUs follow and `output.attach()` for a data segment. */
  stageTask(output: Output, kind: number, index: number, generation: number, at: number): number;
  /** Writes StatSN, ExpCmdSN and MaxCmdSN. */
  stamp(at: number, advances: boolean): void;
  /** All of the task's data-in and its status are sent. */
  sent(task: IscsiTask): void;
}

export type FlushOutcome = "idle" | "blocked" | "broken";

export class Output {
  readonly #fd: number;
  readonly #memory: SharedMemory;
  readonly #at: number;
  readonly #source: OutputSource;
  readonly #kinds = new Uint8Array(ENTRIES);
  readonly #first = new Uint32Array(ENTRIES);
  readonly #second = new Uint32Array(ENTRIES);
  readonly #advances = new Uint8Array(ENTRIES);
  #head = 0;
  #count = 0;
  #kept = false;
  #stageFrom = 0;
  #stageTo = 0;
  #address = 0;
  #bytes = 0;
  /** Bytes of the tail still to be sent, and where it ends. */
  #tail = 0;
  #tailEnd = TAIL;
  #controlAttached = false;
  #task: IscsiTask | null = null;
  #controlUsed = 0;
  #controlPending = 0;
  bytesSent = 0;
  /** What is agreed on, from full feature phase on. */
  digests = NO_DIGESTS;

  constructor(fd: number, memory: SharedMemory, at: number, source: OutputSource) {
    this.#fd = fd;
    this.#memory = memory;
    this.#at = at;
    this.#source = source;
    memory.bytes.fill(0, at + OUT_MESSAGE, at + TAIL + TAIL_BYTES);
  }

  /** Too much waits already: take nothing more in before it is sent. */
  get congested(): boolean {
    if (this.#count > ENTRIES_CONGESTED) return true;
    return this.#controlPending > 0 && this.#controlUsed + CONTROL_PDU_BYTES_MAX > CONTROL_OUT_BYTES;
  }

  get idle(): boolean {
    return this.#count === 0 && this.#staged === 0;
  }

  get #staged(): number {
    return this.#stageTo - this.#stageFrom + this.#bytes + this.#tail;
  }

  /** Room for a PDU that is encoded at once: its offset in the memory, -1 where there is none. */
  control(bytes: number): number {
    if (this.#controlPending === 0) this.#controlUsed = 0;
    if (this.#controlUsed + bytes > CONTROL_OUT_BYTES || this.#count >= ENTRIES) return -1;
    return this.#at + CONTROL_OUT + this.#controlUsed;
  }

  /** Queues the PDU that was encoded at `control()`; `bytes` with padding. */
  pushControl(at: number, bytes: number, advances: boolean): void {
    this.#controlUsed += (bytes + 7) & ~7;
    this.#controlPending++;
    this.#push(ENTRY_CONTROL, at, bytes, advances);
  }

  pushTask(kind: number, task: IscsiTask): void {
    this.#push(kind, task.index, task.generation, false);
  }

  #push(kind: number, first: number, second: number, advances: boolean): void {
    const entry = (this.#head + this.#count++) % ENTRIES;
    this.#kinds[entry] = kind;
    this.#first[entry] = first;
    this.#second[entry] = second;
    this.#advances[entry] = advances ? 1 : 0;
  }

  /** The entry being staged stays at the head, as `kind`. */
  keepEntry(kind: number): void {
    this.#kinds[this.#head] = kind;
    this.#kept = true;
  }

  /** The staged PDU's data segment; `task`: told when it is sent, if it is the task's last. */
  attach(address: number, bytes: number, task: IscsiTask | null): void {
    this.#address = address;
    this.#bytes = bytes;
    this.#tail = -bytes & 3;
    this.#tailEnd = TAIL;
    this.#task = task;
  }

  /** Sends as much as the socket takes. */
  flush(): FlushOutcome {
    const { view, base } = this.#memory;
    const at = this.#at;
    for (;;) {
      if (this.#staged === 0) {
        this.#stageFrom = this.#stageTo = 0;
        if (this.#count > 0) this.#fill();
        if (this.#staged === 0) {
          if (this.#count === 0) return "idle";
          continue;
        }
      }
      let iovecs = 0;
      const stage = this.#stageTo - this.#stageFrom;
      if (stage > 0) this.#iovec(view, iovecs++, base + at + STAGE + this.#stageFrom, stage);
      if (this.#bytes > 0) this.#iovec(view, iovecs++, this.#address, this.#bytes);
      if (this.#tail > 0) this.#iovec(view, iovecs++, base + at + this.#tailEnd - this.#tail, this.#tail);
      setMessage(view, at + OUT_MESSAGE, base + at + OUT_IOVECS, iovecs);
      const sent = checked(libc.sendmsg(this.#fd, base + at + OUT_MESSAGE, MSG_NOSIGNAL | MSG_DONTWAIT));
      if (sent < 0) {
        if (sent === -EINTR) continue;
        return sent === -EAGAIN ? "blocked" : "broken";
      }
      this.bytesSent += sent;
      this.#consume(sent);
    }
  }

  #iovec(view: DataView, index: number, address: number, bytes: number): void {
    const at = this.#at + OUT_IOVECS + index * IOVEC_BYTES;
    setNative(view, at, address);
    setNative(view, at + 8, bytes);
  }

  #consume(sent: number): void {
    const stage = Math.min(sent, this.#stageTo - this.#stageFrom);
    this.#stageFrom += stage;
    const data = Math.min(sent - stage, this.#bytes);
    this.#address += data;
    this.#bytes -= data;
    this.#tail -= sent - stage - data;
    if (this.#bytes > 0 || this.#tail > 0) return;
    if (this.#controlAttached) {
      this.#controlAttached = false;
      this.#controlPending--;
    }
    const task = this.#task;
    if (task !== null && this.#stageFrom === this.#stageTo) {
      this.#task = null;
      this.#source.sent(task);
    }
  }

  /** Moves PDUs from the queue to the stage until it is full or one has a data segment of its own. */
  #fill(): void {
    while (this.#count > 0 && this.#stageTo + STAGED_BYTES_MAX + 2 * DIGEST_BYTES <= STAGE_BYTES) {
      const entry = this.#head;
      const first = this.#first[entry] ?? 0;
      const second = this.#second[entry] ?? 0;
      const to = this.#at + STAGE + this.#stageTo;
      let staged = 0;
      this.#kept = false;
      if (this.#kinds[entry] === ENTRY_CONTROL) {
        this.#source.stamp(first, this.#advances[entry] === 1);
        if (second <= STAGED_BYTES_MAX) {
          this.#memory.bytes.copyWithin(to, first, first + second);
          staged = second;
          this.#controlPending--;
        } else {
          this.#memory.bytes.copyWithin(to, first, first + BHS_BYTES);
          staged = BHS_BYTES;
          this.attach(this.#memory.base + first + BHS_BYTES, second - BHS_BYTES, null);
          this.#controlAttached = true;
        }
      } else {
        staged = this.#source.stageTask(this, this.#kinds[entry] ?? 0, first, second, to);
      }
      this.#stageTo += staged;
      // The login's last answer goes out before what it agreed on holds.
      if (this.digests.crc !== null && staged > 0 && opcodeOf(this.#memory.view, to) !== OP_LOGIN_RESPONSE)
        this.#stageTo += this.#addDigests(this.digests, to, staged);
      if (!this.#kept) {
        this.#head = (this.#head + 1) % ENTRIES;
        this.#count--;
      }
      if (this.#bytes > 0) return;
    }
  }

  /** Digests of the PDU staged at `to`; returns how much longer it has become. */
  #addDigests({ crc, headerBytes, dataBytes }: Digests, to: number, staged: number): number {
    const { bytes, view, base } = this.#memory;
    let end = to + staged;
    if (crc === null) return 0;
    if (headerBytes > 0) {
      bytes.copyWithin(to + BHS_BYTES + headerBytes, to + BHS_BYTES, end);
      view.setUint32(to + BHS_BYTES, crc.update(0, base + to, BHS_BYTES), true);
      end += headerBytes;
    }
    if (dataBytes === 0) return end - to - staged;
    if (this.#bytes > 0) {
      const sum = crc.zeros(crc.update(0, this.#address, this.#bytes), this.#tail);
      view.setUint32(this.#at + TAIL, sum, true);
      this.#tail += dataBytes;
      this.#tailEnd = TAIL + dataBytes;
    } else if (staged > BHS_BYTES) {
      const data = to + BHS_BYTES + headerBytes;
      view.setUint32(end, crc.update(0, base + data, end - data), true);
      end += dataBytes;
    }
    return end - to - staged;
  }
}
