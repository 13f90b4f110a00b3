/** @module The Worker of a changer of others: READ ELEMENT STATUS and MOVE MEDIUM take as long as robots take, and block. A move
 *  is sent once. */
import { ptr } from "bun:ffi";
import { CommandReply, type DataDirection } from "../base/command-reply.ts";
import { MailboxReceiver } from "../base/mailbox.ts";
import { IscsiTransport } from "../device/iscsi-transport.ts";
import { CdbBuffer, putMoveMedium, putReadElementStatus } from "../scsi/cdb.ts";
import { parseElementStatus, parseSense, senseText } from "../scsi/replies.ts";
import { KEY_NOT_READY, KEY_UNIT_ATTENTION } from "../scsi/senses.ts";
import { STATUS_GOOD } from "../scsi/unit/task.ts";
import type {
  ChangerElements,
  ChangerMoved,
  ChangerOrder,
  ChangerStart,
  Order,
  WorkerNotice,
} from "./protocol.ts";
import { EventSleeper } from "./sleep.ts";

const STATUS_BYTES = 256 * 1024;
const ASK_MS = 60_000;
const MOVE_MS = 900_000;
const TRIES = 8;
const NOT_READY_MS = 500;
const TYPES = [1, 2, 3, 4];
const TRANSPORT = 1;

export function runChangerWorker(start: ChangerStart, tell: (notice: WorkerNotice) => void): void {
  const changer = new Changer(new IscsiTransport(start.unit));
  const mailbox = new MailboxReceiver(start.mailbox);
  const sleeper = new EventSleeper(start.mailbox.eventfd);
  tell({ kind: "started", facts: null });
  for (;;) {
    for (let order = mailbox.receive(); order !== null; order = mailbox.receive()) {
      const request = order as Order<ChangerOrder>;
      const result =
        request.kind === "elements" ? changer.elements() : changer.move(request.source, request.destination);
      tell({ kind: "reply", orderId: request.orderId, result });
    }
    sleeper.sleep(1000);
    mailbox.clearSignal();
    changer.keepAlive();
  }
}

export class Changer {
  readonly #transport: IscsiTransport;
  readonly #reply = new CommandReply();
  readonly #cdb = new CdbBuffer();
  readonly #data = new Uint8Array(new ArrayBuffer(STATUS_BYTES));
  readonly #address = Number(ptr(this.#data));
  #robot = 0;

  constructor(transport: IscsiTransport) {
    this.#transport = transport;
  }

  keepAlive(): void {
    this.#transport.keepAlive();
  }

  /** All elements, asked for type by type: some changers answer "all" wrongly. */
  elements(): ChangerElements {
    const elements: (ChangerElements & { kind: "elements" })["elements"][number][] = [];
    for (const type of TYPES) {
      const cdbBytes = putReadElementStatus(this.#cdb.bytes, STATUS_BYTES, { type });
      if (!this.#send(cdbBytes, "in", STATUS_BYTES, ASK_MS))
        return { kind: "problem", text: `${this.#transport.describe}: ${this.#why()}` };
      const report = parseElementStatus(this.#data.subarray(0, this.#reply.transferredBytes));
      for (const { address, full, barcode, source, type: found } of report?.elements ?? []) {
        if (found === TRANSPORT) this.#robot = address;
        if (found === type) elements.push({ type, address, full, barcode, source });
      }
    }
    return { kind: "elements", elements };
  }

  move(source: number, destination: number): ChangerMoved {
    const cdbBytes = putMoveMedium(this.#cdb.bytes, this.#robot, source, destination);
    if (this.#send(cdbBytes, "none", 0, MOVE_MS)) return { kind: "moved" };
    const sense = this.#sense();
    const { key = 4, asc = 0x15, ascq = 1 } = sense ?? {};
    return { kind: "refused", text: this.#why(), key, asc, ascq };
  }

  /** Past unit attentions, and while the robot becomes ready: a command that was answered so was not carried out. */
  #send(cdbBytes: number, direction: DataDirection, bytes: number, timeoutMs: number): boolean {
    const cdb = this.#cdb.cut(cdbBytes);
    for (let tries = 1; ; tries++) {
      this.#transport.execute(cdb, direction, this.#address, bytes, timeoutMs, this.#reply);
      const { reached, status } = this.#reply;
      if (!reached || status === STATUS_GOOD) return reached;
      const { key = -1, asc = 0 } = this.#sense() ?? {};
      const isReadying = key === KEY_NOT_READY && asc === 0x04;
      if (tries === TRIES || (key !== KEY_UNIT_ATTENTION && !isReadying)) return false;
      if (isReadying) Bun.sleepSync(NOT_READY_MS);
    }
  }

  #sense() {
    const { sense, senseBytes } = this.#reply;
    return senseBytes === 0 ? null : parseSense(sense.subarray(0, senseBytes));
  }

  #why(): string {
    const sense = this.#sense();
    if (!this.#reply.reached) return this.#reply.cause;
    return sense === null ? `status ${this.#reply.status}` : `sense ${senseText(sense)}`;
  }
}
