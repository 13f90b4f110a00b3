/** @module SCSI Command and Data-Out (RFC 7143 §11.3, §11.7): from the header to `unit.dataOutComplete`.
 *
 *      command ─▶ unit.execute ─▶ place now? ── yes ─▶ data goes straight to the place
 *                                     └──────── no ──▶ unsolicited data goes to the spill buffer, copied when the place comes
 *      place there, unsolicited data over, data missing ─▶ R2T (one at a time, at most MaxBurstLength)
 *      all there ─▶ unit.dataOutComplete
 *
 *  No R2T without a place: that is the back-pressure on data. What exceeds the command's own length is dropped. */
import { libc } from "../base/ffi.ts";
import {
  AHS_EXTENDED_CDB,
  AT_BUFFER_OFFSET,
  AT_CDB,
  AT_DATA_SN,
  AT_EDTL,
  AT_ITT,
  AT_TTT,
  FLAG_FINAL,
  FLAG_READ,
  FLAG_WRITE,
  field,
  findAhs,
  flagsOf,
  isImmediate,
  lunAt,
  REJECT_INVALID_FIELD,
  REJECT_NOT_SUPPORTED,
  REJECT_PROTOCOL_ERROR,
  REJECT_TASK_IN_PROGRESS,
  REJECT_TOO_MANY_IMMEDIATE,
  TAG_NONE,
} from "../iscsi/pdu.ts";
import type { Sense } from "../scsi/sense.ts";
import { ENTRY_R2T } from "./output.ts";
import type { Session } from "./session.ts";
import { type IscsiTask, R2T_NONE, R2T_QUEUED, R2T_SENT } from "./tasks.ts";

/** What becomes of a PDU's data segment. */
export type Disposition =
  /** It belongs to the task that the receiver was told of. */
  | "task"
  | "discard"
  /** The connection cannot go on. */
  | "drop";

const OUT_OF_SEQUENCE: Sense = { key: 0x0b, asc: 0x47, ascq: 0x05 };
const SERVICE_CRC_ERROR = OUT_OF_SEQUENCE;
const TOO_LITTLE: Sense = { key: 0x0b, asc: 0x0c, ascq: 0x0d };
const INVALID_OPCODE = { key: 5, asc: 0x20, ascq: 0 } as const;

/** A SCSI Command whose header is at `at`; its CmdSN was accepted. */
export function beginCommand(
  session: Session,
  at: number,
  ahsAt: number,
  ahsBytes: number,
  dataBytes: number,
): Disposition {
  const { host, parameters, pool, connection } = session;
  const { view } = host.memory;
  const flags = flagsOf(view, at);
  const isWrite = (flags & FLAG_WRITE) !== 0;
  const isRead = (flags & FLAG_READ) !== 0;
  const final = (flags & FLAG_FINAL) !== 0;
  const itt = field(view, at, AT_ITT);
  const expected = field(view, at, AT_EDTL);
  if (pool === null || itt === TAG_NONE) return connection.reject(REJECT_PROTOCOL_ERROR);
  if (isRead && isWrite) return connection.reject(REJECT_NOT_SUPPORTED);
  if (!final && (!isWrite || parameters.initialR2T)) return connection.reject(REJECT_PROTOCOL_ERROR);
  if (dataBytes > 0) {
    if (!isWrite || !parameters.immediateData) return connection.reject(REJECT_PROTOCOL_ERROR);
    if (dataBytes > Math.min(expected, parameters.firstBurstBytes))
      return connection.reject(REJECT_INVALID_FIELD);
  }
  const extended = ahsBytes > 0 ? findAhs(view, ahsAt, ahsBytes, AHS_EXTENDED_CDB) : -1;
  if (extended === -2) return connection.reject(REJECT_INVALID_FIELD);
  if (pool.find(itt) !== null) return connection.reject(REJECT_TASK_IN_PROGRESS);
  if (isImmediate(view, at) && pool.free <= session.promised)
    return connection.reject(REJECT_TOO_MANY_IMMEDIATE);
  const task = pool.take();
  if (task === null) return connection.reject(REJECT_TOO_MANY_IMMEDIATE);

  task.session = session;
  task.itt = task.tag = itt;
  task.nexus = session.nexus;
  task.owner = session;
  task.lun = lunAt(view, at);
  task.isWrite = isWrite;
  task.expectedBytes = expected;
  task.expectedOutBytes = isWrite ? expected : 0;
  task.expectedInBytes = isRead ? expected : 0;
  task.startedMs = performance.now();
  task.unsolicitedOpen = isWrite && !final;
  task.receiving = dataBytes > 0;
  for (let index = 0; index < 16; index++) task.cdb[index] = view.getUint8(at + AT_CDB + index);
  host.stats.commands++;
  const unit = host.unitOf(task.lun);
  task.unit = unit;
  // A CDB of more than 16 bytes is none that a tape or changer has.
  if (extended >= 0) task.completeWithSense(INVALID_OPCODE);
  else unit.execute(task);
  host.drainPlaced();
  if (dataBytes === 0) return "discard";
  connection.receiver.expect(task, final);
  return "task";
}

/** A Data-Out whose header is at `at`. Data for a task that is no more is swallowed. Data that nobody asked for ends the
 *  connection; data out of its sequence fails its command, once all that was promised has come (RFC 7143 §7.8, §7.9). */
export function beginDataOut(session: Session, at: number, dataBytes: number): Disposition {
  const { host, parameters, pool, connection } = session;
  const { view } = host.memory;
  if (pool === null) return "drop";
  const ttt = field(view, at, AT_TTT);
  const final = (flagsOf(view, at) & FLAG_FINAL) !== 0;
  const task = pool.find(field(view, at, AT_ITT));
  if (task === null) return "discard";
  const end = task.receivedBytes + dataBytes;
  let limit = task.r2tEnd;
  if (ttt === TAG_NONE) {
    if (!task.unsolicitedOpen) return "drop";
    limit = Math.min(parameters.firstBurstBytes, task.expectedOutBytes);
  } else if (task.r2t !== R2T_SENT || task.r2tTag !== ttt) return "drop";
  if (!task.spoilt) {
    const inOrder =
      field(view, at, AT_BUFFER_OFFSET) === task.receivedBytes && field(view, at, AT_DATA_SN) === task.dataSN;
    if (!inOrder) spoil(session, task, OUT_OF_SEQUENCE);
    else if (end > limit) return "drop";
    else if (final && ttt !== TAG_NONE && end < limit) spoil(session, task, TOO_LITTLE);
  }
  task.dataSN++;
  task.receiving = true;
  connection.receiver.expect(task, final);
  return "task";
}

/** A data segment of this command did not match its digest. */
export function spoilByDigest(task: IscsiTask): void {
  if (task.session !== null && !task.spoilt) spoil(task.session, task, SERVICE_CRC_ERROR);
}

/** A command whose data cannot be trusted: its unit forgets it, its initiator hears of it. */
function spoil(session: Session, task: IscsiTask, sense: Sense): void {
  task.spoiltBy = sense;
  session.host.stats.protocolErrors++;
  if (task.completed) return;
  task.aborted = true;
  task.unit?.abort(task);
}

/** A PDU's data for this task is in, whole. */
export function endData(task: IscsiTask, final: boolean): void {
  task.receiving = false;
  if (task.r2t === R2T_SENT) {
    if (task.spoilt ? final : task.receivedBytes >= task.r2tEnd) task.r2t = R2T_NONE;
  } else if (final) {
    task.unsolicitedOpen = false;
  }
  advance(task);
}

/** The place has come: what was spilled goes there. */
export function takePlace(task: IscsiTask): void {
  if (!task.inUse || task.placed || task.completed || task.aborted) return;
  task.placed = true;
  const spilled = Math.min(task.receivedBytes, task.takenBytes);
  if (spilled > 0) libc.memcpy(task.outAddress, task.spillAddress, spilled);
  advance(task);
}

/** Does what is to be done next for a task, if anything. */
export function advance(task: IscsiTask): void {
  const { session } = task;
  if (session === null || !task.inUse || task.forgotten || task.owesData) return;
  if (task.completed) {
    if (task.held) session.answer(task);
    return;
  }
  if (!task.placed || task.dataDone || task.spoilt) return;
  const taken = task.takenBytes;
  if (task.receivedBytes >= taken) {
    task.dataDone = true;
    task.outReceived = taken;
    task.unit?.dataOutComplete(task);
  } else if (task.r2t === R2T_NONE) {
    task.r2t = R2T_QUEUED;
    session.connection.output.pushTask(ENTRY_R2T, task);
    session.connection.markDirty();
  }
}
