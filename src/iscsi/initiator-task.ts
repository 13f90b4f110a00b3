/** @module A command of the initiator on its way, and what becomes of it. Tasks are places of a fixed table and are used
 *  again and again. */
import { CommandReply, type DataDirection } from "../base/command-reply.ts";
import { BHS_BYTES, TAG_NONE } from "./pdu.ts";

export class InitiatorTask {
  readonly place: number;
  readonly cdb = new Uint8Array(16);
  readonly ownReply = new CommandReply();
  reply = this.ownReply;
  active = false;
  itt = TAG_NONE;
  lun = 0;
  direction: DataDirection = "none";
  address = 0;
  bytes = 0;
  deadlineMs = 0;
  timeoutMs = 0;
  /** The command's PDU has begun to go out. */
  sent = false;
  cmdSN = 0;
  /** The final status is known; the task ends once nothing of its memory is waiting to be sent. */
  answered = false;
  /** `execute` waits for this one itself. */
  waited = false;
  /** Data-Out sequences queued or going out, and the command itself: they read the task's memory. */
  outputs = 0;
  /** Data-In bytes so far; they come in order (DataPDUInOrder, DataSequenceInOrder). */
  receivedBytes = 0;
  /** Data-out before it was sent unsolicited or asked for. */
  solicitedBytes = 0;
  /** R2Ts not yet answered in full. */
  r2ts = 0;
  /** Next DataSN and R2TSN due (they share their numbers in one task). */
  dataSN = 0;
  #generation = 0;

  constructor(place: number) {
    this.place = place;
  }

  begin(
    lun: number,
    cdb: Uint8Array,
    direction: DataDirection,
    address: number,
    bytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void {
    this.cdb.fill(0);
    this.cdb.set(cdb);
    this.lun = lun;
    this.direction = bytes === 0 ? "none" : direction;
    this.address = address;
    this.bytes = this.direction === "none" ? 0 : bytes;
    this.timeoutMs = timeoutMs;
    this.deadlineMs = performance.now() + timeoutMs;
    this.reply = reply;
    reply.clear();
    this.active = true;
    this.sent = this.answered = false;
    this.outputs = this.receivedBytes = this.solicitedBytes = this.r2ts = this.dataSN = 0;
    // A tag is not used again soon, so that an answer to a task long gone is not taken for one of today.
    this.#generation = (this.#generation + 1) % 0x7fffff;
    this.itt = (this.#generation * 256 + this.place) >>> 0;
  }

  /** Nobody will ever know more about this command. What is on its way out still reads its memory (`outputs`). */
  lose(cause: string): void {
    this.answered = true;
    this.reply.lose(
      this.sent
        ? `${cause}; the command may or may not have been carried out`
        : `${cause}; the command was not sent`,
    );
  }
}

/** Place of a task from its tag. */
export function placeOfTag(itt: number): number {
  return itt & 0xff;
}

export const PLACES_MAX = 128;
/** Tags of the initiator's own requests (pings, logout, text, task management) lie above all tasks' places. */
export const OWN_TAG = 0xfe;

/** Ready-made requests without data, for control PDUs. */
export class ControlQueue {
  readonly #bytes: Uint8Array;
  readonly #depth: number;
  #head = 0;
  #count = 0;

  constructor(depth: number) {
    this.#depth = depth;
    this.#bytes = new Uint8Array(depth * BHS_BYTES);
  }

  get count(): number {
    return this.#count;
  }

  /** A place for one more header, or null: the peer asks faster than it listens. */
  add(): DataView | null {
    if (this.#count === this.#depth) return null;
    const index = (this.#head + this.#count++) % this.#depth;
    return new DataView(this.#bytes.buffer, index * BHS_BYTES, BHS_BYTES);
  }

  take(into: DataView): void {
    const at = this.#head * BHS_BYTES;
    for (let offset = 0; offset < BHS_BYTES; offset++) into.setUint8(offset, this.#bytes[at + offset] ?? 0);
    this.#head = (this.#head + 1) % this.#depth;
    this.#count--;
  }
}
