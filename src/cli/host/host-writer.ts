/** @module Writes a stream of blocks while the next one is being made: a backup server's inner loop.
 *
 *      const block = writer.block();        // room for the next block; waits where all are on their way
 *      ... fill block.subarray(0, bytes) ...
 *      writer.write(bytes);                 // sent; comes back before it is answered
 *      writer.filemarks(1);                 // after all blocks
 *
 *  (1) Blocks go out in order; at most `depth` wait for their answers, one more is in the making.
 *  (2) After the first error nothing more is sent; it stays in `error`, and whoever writes looks at it.
 *  (3) BUSY is asked again only at depth 1: at more, blocks behind it may be on the tape already. */
import { ptr } from "bun:ffi";
import { CommandReply } from "../../base/command-reply.ts";
import { libc } from "../../base/ffi.ts";
import { CdbBuffer, putWrite6, putWriteFilemarks } from "../../scsi/cdb.ts";
import { type HostOutcome, type HostQueue, isBusy, outcomeOf } from "./host-port.ts";

const TIMEOUT_MS = 900_000;
const SERVE_MS = 1000;
const BUSY_WAIT_MS = 100;

export interface HostWriterOptions {
  readonly lun: number;
  readonly blockBytesMax: number;
  /** Default 1. */
  readonly depth?: number;
}

export class HostWriter {
  /** What went well so far. */
  blocks = 0;
  bytes = 0;
  /** Answers that were neither GOOD nor early warning. */
  hostErrors = 0;
  busy = 0;
  earlyWarning = false;
  /** Longest time that one WRITE waited for GOOD, BUSY times included. */
  longestStallMs = 0;
  error: HostOutcome | null = null;
  readonly #session: HostQueue;
  readonly #lun: number;
  readonly #depth: number;
  readonly #blocks: readonly Uint8Array[];
  readonly #addresses: readonly number[];
  readonly #cdb = new CdbBuffer();
  readonly #reply = new CommandReply();
  /** By place of the session: length and time of the block that it carries. */
  readonly #lengths = new Float64Array(256);
  readonly #startedMs = new Float64Array(256);
  #next = 0;
  #waiting = 0;

  constructor(session: HostQueue, { lun, blockBytesMax, depth = 1 }: HostWriterOptions) {
    this.#session = session;
    this.#lun = lun;
    this.#depth = depth;
    this.#blocks = Array.from({ length: depth + 1 }, () => new Uint8Array(new ArrayBuffer(blockBytesMax)));
    this.#addresses = this.#blocks.map((block) => ptr(block));
  }

  /** Blocks sent and not yet answered. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Where the next block is to be made. It is free: at most `depth` of the `depth + 1` are on their way. */
  block(): Uint8Array {
    return this.#blocks[this.#next % this.#blocks.length] ?? new Uint8Array(0);
  }

  /** Sends the block just made. false: an error came before it (`error`); it was not sent. */
  write(bytes: number): boolean {
    while (this.#waiting >= this.#depth && this.error === null) this.#serve(SERVE_MS);
    if (this.error !== null) return false;
    const index = this.#next++ % this.#blocks.length;
    this.#submit(this.#addresses[index] ?? 0, bytes, performance.now());
    return true;
  }

  /** Takes in answers that have come, without waiting: for whoever is long in making a block. */
  poll(): void {
    this.#serve(0);
  }

  /** Waits for all answers. false: there was an error. */
  drain(): boolean {
    while (this.#waiting > 0) this.#serve(SERVE_MS);
    return this.error === null;
  }

  /** Drains, then writes filemarks; not immediate: GOOD means that all is on the medium. */
  filemarks(count: number, immediate = false): boolean {
    if (!this.drain()) return false;
    const cdb = this.#cdb.cut(putWriteFilemarks(this.#cdb.bytes, count, immediate));
    for (;;) {
      this.#session.execute(this.#lun, cdb, "none", 0, 0, TIMEOUT_MS, this.#reply);
      if (!isBusy(this.#reply)) break;
      this.busy++;
      libc.usleep(BUSY_WAIT_MS * 1000);
    }
    this.#judge(this.#reply, 0);
    return this.error === null;
  }

  #submit(address: number, bytes: number, startedMs: number): void {
    const cdb = this.#cdb.cut(putWrite6(this.#cdb.bytes, bytes));
    const place = this.#session.submit(this.#lun, cdb, "out", address, bytes, TIMEOUT_MS);
    if (place < 0) throw new Error("the session has fewer places than the writer's depth");
    this.#waiting++;
    this.#lengths[place] = bytes;
    this.#startedMs[place] = startedMs;
  }

  #serve(timeoutMs: number): void {
    if (this.#waiting === 0) return;
    this.#session.serve(timeoutMs);
    for (let place = this.#session.reap(); place >= 0; place = this.#session.reap()) this.#finish(place);
  }

  #finish(place: number): void {
    const reply = this.#session.replyOf(place);
    const bytes = this.#lengths[place] ?? 0;
    const startedMs = this.#startedMs[place] ?? 0;
    this.#waiting--;
    if (this.#depth === 1 && isBusy(reply)) {
      this.busy++;
      libc.usleep(BUSY_WAIT_MS * 1000);
      // The only block on its way is the one before the one in the making.
      const index = (this.#next - 1) % this.#blocks.length;
      this.#submit(this.#addresses[index] ?? 0, bytes, startedMs);
      return;
    }
    const waitedMs = performance.now() - startedMs;
    if (waitedMs > this.longestStallMs) this.longestStallMs = waitedMs;
    if (!this.#judge(reply, bytes)) return;
    this.blocks++;
    this.bytes += bytes;
  }

  /** true: what was asked for has been done. */
  #judge(reply: CommandReply, bytes: number): boolean {
    const outcome = outcomeOf(reply, bytes);
    if (outcome.kind === "good") return true;
    if (outcome.kind === "checkCondition" && outcome.sense.key === 0 && outcome.sense.eom === true) {
      this.earlyWarning = true;
      return true;
    }
    this.hostErrors++;
    this.error ??= outcome;
    return false;
  }
}
