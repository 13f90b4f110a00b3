/** @module A drive or changer of others, reached over iSCSI: one session for one logical unit.
 *  (1) A write, and whatever begins where the drive happens to stand, is sent once, and only on a session on which the
 *      drive's place is known: after a loss not before the drive was asked for it, or moved to an absolute one.
 *  (2) A question, or an absolute movement, opens a new session where there is none, and is asked once more where the
 *      connection broke before the time was over. Never after a time-out: a drive that hangs is not asked again.
 *  (3) What is lost is told as lost: not sent, or may or may not have been carried out. Nobody is made to believe
 *      that a new session is the old one.
 *  (4) Nothing is opened before the first command: a drive that is away does not keep the house from starting. */
import type { CommandReply, DataDirection } from "../base/command-reply.ts";
import type { OwnLogin } from "../iscsi/chap.ts";
import { Initiator, InitiatorError } from "../iscsi/initiator.ts";
import * as op from "../scsi/opcodes.ts";
import type { Transport } from "./transport.ts";

export interface IscsiAddress {
  readonly host: string;
  readonly port: number;
  /** "": the first target that the portal names. */
  readonly targetName: string;
  readonly lun: number;
}

export interface IscsiTransportOptions extends IscsiAddress {
  readonly initiatorName: string;
  /** Logs in by this; null: without a password. */
  readonly chap?: OwnLogin | null;
  /** For connecting and logging in. */
  readonly connectMs?: number;
}

const CONNECT_MS = 5000;
const RECONNECT_MS = 500;
const RECONNECT_EVERY_MS = 50;
/** A new session is not begun with less time than this left for the command. */
const AGAIN_MS_MIN = 50;
const SPACE_END_OF_DATA = 3;
const STATUS_GOOD = 0;

/** How far a command may be trusted to a new session. */
type Kind =
  /** Gives the same answer however often it is asked. */
  | "question"
  /** Ends at the same place however often it is asked. */
  | "absolute"
  /** Depends on where the drive stands. */
  | "relative"
  /** Everything else: may open a session, is sent once. */
  | "once";

const KINDS: readonly Kind[] = Array.from({ length: 256 }, (_, opcode): Kind => {
  switch (opcode) {
    case op.TEST_UNIT_READY:
    case op.REQUEST_SENSE:
    case op.INQUIRY:
    case op.MODE_SENSE_6:
    case op.MODE_SENSE_10:
    case op.LOG_SENSE:
    case op.READ_POSITION:
    case op.READ_ATTRIBUTE:
    case op.READ_BLOCK_LIMITS:
    case op.REPORT_LUNS:
    case op.REPORT_DENSITY_SUPPORT:
    case op.READ_ELEMENT_STATUS:
      return "question";
    case op.REWIND:
    case op.LOCATE_10:
    case op.LOCATE_16:
    case op.LOAD_UNLOAD:
      return "absolute";
    case op.READ_6:
    case op.WRITE_6:
    case op.WRITE_FILEMARKS_6:
    case op.VERIFY_6:
    case op.SPACE_6:
    case op.SPACE_16:
    case op.ERASE_6:
      return "relative";
    default:
      return "once";
  }
});

function kindOf(cdb: Uint8Array): Kind {
  const opcode = cdb[0] ?? 0;
  const toEnd = ((cdb[1] ?? 0) & 0x0f) === SPACE_END_OF_DATA;
  if (toEnd && (opcode === op.SPACE_6 || opcode === op.SPACE_16)) return "absolute";
  return KINDS[opcode] ?? "once";
}

export class IscsiTransport implements Transport {
  readonly describe: string;
  /** Sessions that were opened after the first one. */
  reconnects = 0;
  readonly #options: IscsiTransportOptions;
  #session: Initiator | null = null;
  #wasConnected = false;
  #placeKnown = true;
  #closed = false;

  constructor(options: IscsiTransportOptions) {
    this.#options = options;
    const target = options.targetName === "" ? "" : ` ${options.targetName}`;
    this.describe = `iSCSI ${options.host}:${options.port}${target} LUN ${options.lun}`;
  }

  get connected(): boolean {
    return this.#session?.alive === true;
  }

  execute(
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void {
    const kind = kindOf(cdb);
    const deadlineMs = performance.now() + timeoutMs;
    if (!this.#mayGo(kind, timeoutMs, reply)) return;
    this.#send(cdb, direction, dataAddress, dataBytes, timeoutMs, reply);
    const leftMs = deadlineMs - performance.now();
    const mayRepeat = kind === "question" || kind === "absolute";
    if (!reply.reached && mayRepeat && leftMs > AGAIN_MS_MIN && !this.#closed) {
      if (!this.#mayGo(kind, leftMs, reply)) return;
      this.#send(cdb, direction, dataAddress, dataBytes, leftMs, reply);
    }
    const tellsPlace = kind === "absolute" || cdb[0] === op.READ_POSITION;
    if (tellsPlace && reply.reached && reply.status === STATUS_GOOD) this.#placeKnown = true;
  }

  /** Answers what the target asks while nobody has a command for it (NOP): call about once a second when idle. false: the
   *  session was lost since; whoever knows that nothing was under way then may begin a new one by an absolute movement. */
  keepAlive(): boolean {
    if (this.connected) this.#session?.serve(1);
    return this.connected || !this.#wasConnected;
  }

  close(): void {
    this.#closed = true;
    if (this.connected) this.#session?.logout(500);
    this.#session?.close();
    this.#session = null;
  }

  /** The session is there, and the command may go over it; else the reply says why it was not sent. */
  #mayGo(kind: Kind, timeoutMs: number, reply: CommandReply): boolean {
    if (this.#closed) {
      reply.lose(`${this.describe}: closed; the command was not sent`);
      return false;
    }
    if (!this.connected) {
      const lost = this.#session?.cause ?? "";
      if (this.#wasConnected) this.#placeKnown = false;
      if (kind === "relative" && this.#wasConnected) {
        reply.lose(`${this.describe}: no connection (${lost}); the command was not sent`);
        return false;
      }
      const cause = this.#reconnect(timeoutMs);
      if (cause !== "") {
        reply.lose(`${this.describe}: ${cause}; the command was not sent`);
        return false;
      }
    }
    if (kind === "relative" && !this.#placeKnown) {
      reply.lose(`${this.describe}: place unknown since the connection was lost; the command was not sent`);
      return false;
    }
    return true;
  }

  /** As `#connect`; a target that had a session with us may refuse for a moment while it starts anew. */
  #reconnect(timeoutMs: number): string {
    const untilMs = performance.now() + (this.#wasConnected ? Math.min(timeoutMs, RECONNECT_MS) : 0);
    for (;;) {
      const cause = this.#connect(timeoutMs);
      if (cause === "" || performance.now() + RECONNECT_EVERY_MS > untilMs) return cause;
      Bun.sleepSync(RECONNECT_EVERY_MS);
    }
  }

  /** "": there is a session now; else why not. */
  #connect(timeoutMs: number): string {
    const { host, port, targetName, initiatorName, chap = null, connectMs = CONNECT_MS } = this.#options;
    this.#session?.close();
    this.#session = null;
    try {
      this.#session = Initiator.connect({
        ...{ host, port, initiatorName },
        ...(targetName === "" ? {} : { targetName }),
        ...(chap === null ? {} : { chap }),
        timeoutMs: Math.min(connectMs, Math.max(timeoutMs, AGAIN_MS_MIN)),
        depth: 1,
      });
    } catch (error) {
      if (error instanceof InitiatorError) return error.message;
      throw error;
    }
    if (this.#wasConnected) this.reconnects++;
    this.#wasConnected = true;
    return "";
  }

  #send(
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void {
    const session = this.#session;
    if (session === null) return;
    session.execute(this.#options.lun, cdb, direction, dataAddress, dataBytes, timeoutMs, reply);
    if (!reply.reached) this.#placeKnown = false;
  }
}
