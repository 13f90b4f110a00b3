/** @module What the initiator does with each PDU of the target: data to its place, answers to their tasks.
 *
 *  (1) Every number that the target sends is checked against what was agreed before it is used; what does not fit ends
 *      the session, since at error recovery level 0 nothing can be asked for again.
 *  (2) Data-In goes nowhere but into the buffer of a task that waits for it.
 *  (3) A GOOD read whose data did not all come is not GOOD: it ends the session. */
import type { PduReader, PduSink } from "./initiator-reader.ts";
import type { Sender, SessionNumbers } from "./initiator-sender.ts";
import { type InitiatorTask, OWN_TAG, placeOfTag } from "./initiator-task.ts";
import type { SessionParameters } from "./keys.ts";
import {
  ASYNC_CONNECTION_DROP,
  ASYNC_LOGOUT_REQUEST,
  ASYNC_NEGOTIATION_REQUEST,
  ASYNC_SESSION_DROP,
  AT_ASYNC_EVENT,
  AT_BUFFER_OFFSET,
  AT_DATA_SN,
  AT_EXP_CMD_SN,
  AT_ITT,
  AT_MAX_CMD_SN,
  AT_R2T_BYTES,
  AT_R2T_OFFSET,
  AT_R2T_SN,
  AT_REASON,
  AT_RESIDUAL,
  AT_RESPONSE,
  AT_STAT_SN,
  AT_STATUS,
  AT_TTT,
  BHS_BYTES,
  FLAG_OVERFLOW,
  FLAG_STATUS,
  FLAG_UNDERFLOW,
  flagsOf,
  lunAt,
  nextSerial,
  OP_ASYNC_MESSAGE,
  OP_DATA_IN,
  OP_LOGOUT_RESPONSE,
  OP_NOP_IN,
  OP_R2T,
  OP_REJECT,
  OP_SCSI_RESPONSE,
  OP_TASK_MANAGEMENT_RESPONSE,
  opcodeOf,
  REJECT_DATA_DIGEST,
  serialDifference,
  TAG_NONE,
} from "./pdu.ts";
import { encodeNopOut } from "./requests.ts";

const STATUS_GOOD = 0;

/** Answers to the initiator's own requests (ping, task management, logout): one of them at a time. */
export interface OwnAnswer {
  opcode: number;
  response: number;
}

export class Receiver implements PduSink {
  readonly segmentBytesMax: number;
  /** Why the session is beyond use; "" while it lives. */
  cause = "";
  /** The target wants the session to end (Asynchronous Message): no new commands. "" otherwise. */
  ending = "";
  readonly own: OwnAnswer = { opcode: -1, response: 0 };
  readonly #reader: PduReader;
  readonly #numbers: SessionNumbers;
  readonly #sender: Sender;
  readonly #tasks: readonly InitiatorTask[];
  readonly #maxBurstBytes: number;

  constructor(
    reader: PduReader,
    parameters: SessionParameters,
    numbers: SessionNumbers,
    sender: Sender,
    tasks: readonly InitiatorTask[],
  ) {
    this.#reader = reader;
    this.#numbers = numbers;
    this.#sender = sender;
    this.#tasks = tasks;
    this.segmentBytesMax = parameters.ownSegmentBytes;
    this.#maxBurstBytes = parameters.maxBurstBytes;
  }

  get failed(): boolean {
    return this.cause !== "";
  }

  fail(cause: string): void {
    if (this.cause === "") this.cause = cause;
  }

  placeData(header: DataView, dataBytes: number): number {
    if (opcodeOf(header, 0) !== OP_DATA_IN) return 0;
    const task = this.#taskOf(header);
    if (task === null) return -1;
    const offset = header.getUint32(AT_BUFFER_OFFSET);
    if (task.direction !== "in") return this.#refuse("Data-In for a command that reads nothing");
    if (task.answered) return this.#refuse("Data-In after the status");
    if (offset !== task.receivedBytes) {
      return this.#refuse(`Data-In at ${offset} where ${task.receivedBytes} was due`);
    }
    if (offset + dataBytes > task.bytes) {
      return this.#refuse(`Data-In up to ${offset + dataBytes}, the buffer has ${task.bytes}`);
    }
    return task.address + offset;
  }

  onPdu(header: DataView, dataBytes: number): void {
    this.#takeWindow(header);
    const cause = this.#take(header, dataBytes);
    if (cause !== "") this.fail(cause);
  }

  /** "" or what is wrong with the PDU. */
  #take(header: DataView, dataBytes: number): string {
    const opcode = opcodeOf(header, 0);
    switch (opcode) {
      case OP_SCSI_RESPONSE:
        return this.#onResponse(header, dataBytes);
      case OP_DATA_IN:
        return this.#onDataIn(header, dataBytes);
      case OP_R2T:
        return this.#onR2T(header);
      case OP_NOP_IN:
        return this.#onNopIn(header);
      case OP_TASK_MANAGEMENT_RESPONSE:
      case OP_LOGOUT_RESPONSE:
        return this.#takeStatSN(header) || this.#onOwn(header, opcode);
      case OP_ASYNC_MESSAGE:
        return this.#takeStatSN(header) || this.#onAsync(header);
      case OP_REJECT:
        return this.#takeStatSN(header) || this.#onReject(header, dataBytes);
      default:
        return `unexpected PDU ${opcode.toString(16)}h`;
    }
  }

  /** The task that a PDU is about; fails the session where there is none. */
  #taskOf(header: DataView): InitiatorTask | null {
    const itt = header.getUint32(AT_ITT);
    const task = this.#tasks[placeOfTag(itt)];
    if (task?.active && task.itt === itt && task.sent) return task;
    this.fail(`PDU ${opcodeOf(header, 0).toString(16)}h for unknown task tag ${itt.toString(16)}h`);
    return null;
  }

  #refuse(cause: string): -1 {
    this.fail(cause);
    return -1;
  }

  /** RFC 7143 §4.2.2.1: a window that does not make sense is ignored; both numbers only grow. */
  #takeWindow(header: DataView): void {
    const expCmdSN = header.getUint32(AT_EXP_CMD_SN);
    const maxCmdSN = header.getUint32(AT_MAX_CMD_SN);
    const numbers = this.#numbers;
    if (serialDifference(maxCmdSN, (expCmdSN - 1) >>> 0) < 0) return;
    if (serialDifference(maxCmdSN, numbers.maxCmdSN) > 0) numbers.maxCmdSN = maxCmdSN;
    if (serialDifference(expCmdSN, numbers.expCmdSN) > 0) numbers.expCmdSN = expCmdSN;
  }

  #takeStatSN(header: DataView): string {
    const statSN = header.getUint32(AT_STAT_SN);
    if (statSN !== this.#numbers.expStatSN) {
      return `StatSN ${statSN} where ${this.#numbers.expStatSN} was due`;
    }
    this.#numbers.expStatSN = nextSerial(statSN);
    return "";
  }

  #onResponse(header: DataView, dataBytes: number): string {
    const task = this.#taskOf(header);
    if (task === null) return this.cause;
    const cause = this.#takeStatSN(header);
    if (cause !== "") return cause;
    if (task.answered) return "two answers to one command";
    const response = header.getUint8(AT_RESPONSE);
    if (response !== 0) {
      task.lose(`the target could not complete the command (response ${response.toString(16)}h)`);
      return "";
    }
    if (dataBytes >= 2) this.#takeSense(task, dataBytes);
    return this.#finish(task, header);
  }

  #takeSense(task: InitiatorTask, dataBytes: number): void {
    const { scratch } = this.#reader;
    const { reply } = task;
    const stated = ((scratch[0] ?? 0) << 8) | (scratch[1] ?? 0);
    reply.senseBytes = Math.min(stated, dataBytes - 2, reply.sense.length);
    for (let index = 0; index < reply.senseBytes; index++) reply.sense[index] = scratch[2 + index] ?? 0;
  }

  #onDataIn(header: DataView, dataBytes: number): string {
    const task = this.#taskOf(header);
    if (task === null) return this.cause;
    const dataSN = header.getUint32(AT_DATA_SN);
    if (dataSN !== task.dataSN) return `DataSN ${dataSN} where ${task.dataSN} was due`;
    task.dataSN++;
    task.receivedBytes += dataBytes;
    if ((flagsOf(header, 0) & FLAG_STATUS) === 0) return "";
    if (task.answered) return "two answers to one command";
    return this.#takeStatSN(header) || this.#finish(task, header);
  }

  /** Status and residual are in the header, of a SCSI Response or of the last Data-In. */
  #finish(task: InitiatorTask, header: DataView): string {
    const flags = flagsOf(header, 0);
    const residual = (flags & FLAG_UNDERFLOW) !== 0 ? header.getUint32(AT_RESIDUAL) : 0;
    if (residual > task.bytes || ((flags & FLAG_UNDERFLOW) !== 0 && (flags & FLAG_OVERFLOW) !== 0)) {
      return `residual of ${residual} bytes for ${task.bytes} expected`;
    }
    const { reply } = task;
    reply.status = header.getUint8(AT_STATUS);
    const claimed = task.bytes - residual;
    if (task.direction === "in") {
      if (reply.status === STATUS_GOOD && task.receivedBytes !== claimed) {
        return `GOOD for ${claimed} bytes, ${task.receivedBytes} came`;
      }
      reply.transferredBytes = task.receivedBytes;
    } else {
      reply.transferredBytes = claimed;
    }
    task.answered = true;
    return "";
  }

  #onR2T(header: DataView): string {
    const task = this.#taskOf(header);
    if (task === null) return this.cause;
    const r2tSN = header.getUint32(AT_R2T_SN);
    const offset = header.getUint32(AT_R2T_OFFSET);
    const bytes = header.getUint32(AT_R2T_BYTES);
    const ttt = header.getUint32(AT_TTT);
    if (task.direction !== "out" || task.answered) return "R2T for a command that writes nothing";
    if (r2tSN !== task.dataSN) return `R2TSN ${r2tSN} where ${task.dataSN} was due`;
    if (ttt === TAG_NONE) return "R2T without a tag";
    if (bytes === 0 || bytes > this.#maxBurstBytes || offset + bytes > task.bytes) {
      return `R2T for ${bytes} bytes at ${offset} of ${task.bytes}`;
    }
    if (offset !== task.solicitedBytes) {
      return `R2T at ${offset} where ${task.solicitedBytes} was due`;
    }
    task.dataSN++;
    task.solicitedBytes = offset + bytes;
    return this.#sender.addData(task, ttt, offset, bytes) ? "" : "more R2Ts at once than agreed";
  }

  #onNopIn(header: DataView): string {
    const itt = header.getUint32(AT_ITT);
    const ttt = header.getUint32(AT_TTT);
    if (itt !== TAG_NONE) return this.#takeStatSN(header) || this.#onOwn(header, OP_NOP_IN);
    if (ttt === TAG_NONE) return ""; // only to open the window
    const answer = this.#sender.control.add();
    if (answer === null) return "the target sends pings and takes no answers";
    encodeNopOut(answer, 0, true, Math.max(0, lunAt(header, 0)), TAG_NONE, ttt, 0, 0, 0);
    return "";
  }

  #onOwn(header: DataView, opcode: number): string {
    const itt = header.getUint32(AT_ITT);
    if (itt !== OWN_TAG) return `answer to a request never made (tag ${itt.toString(16)}h)`;
    this.own.opcode = opcode;
    this.own.response = header.getUint8(AT_RESPONSE);
    return "";
  }

  #onAsync(header: DataView): string {
    const event = header.getUint8(AT_ASYNC_EVENT);
    if (event === ASYNC_LOGOUT_REQUEST || event === ASYNC_NEGOTIATION_REQUEST) {
      this.ending = "the target asks for the session to end";
    } else if (event === ASYNC_CONNECTION_DROP || event === ASYNC_SESSION_DROP) {
      return "the target drops the session";
    }
    return "";
  }

  /** The rejected header comes back as data: its task will never be answered. */
  #onReject(header: DataView, dataBytes: number): string {
    const reason = header.getUint8(AT_REASON).toString(16);
    if (dataBytes < BHS_BYTES) return `Reject (reason ${reason}h) without the header that was meant`;
    const { scratch } = this.#reader;
    const rejected = new DataView(scratch.buffer, scratch.byteOffset, BHS_BYTES);
    const itt = rejected.getUint32(AT_ITT);
    const task = this.#tasks[placeOfTag(itt)];
    if (task?.active && task.itt === itt && !task.answered) {
      // The data was spoilt on its way: the command's own answer follows (RFC 7143 §7.8).
      if (header.getUint8(AT_REASON) === REJECT_DATA_DIGEST && task.direction === "out") return "";
      task.lose(`the target rejected a PDU of it (reason ${reason}h)`);
      return "";
    }
    return `the target rejected a PDU (reason ${reason}h)`;
  }
}
