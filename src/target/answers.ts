/** @module The PDUs of a task's answer, encoded one at a time when the connection can send: Data-In with the status in the
 *  last one where it is GOOD, SCSI Response with sense otherwise, and R2T (RFC 7143 §11.4, §11.7, §11.8). */
import { BHS_BYTES, FLAG_FINAL, FLAG_STATUS, padBytes } from "../iscsi/pdu.ts";
import { encodeDataIn, encodeR2T, encodeScsiResponse } from "../iscsi/responses.ts";
import { STATUS_GOOD } from "../scsi/unit/task.ts";
import { ENTRY_DATA_IN, ENTRY_R2T, ENTRY_STATUS, type Output } from "./output.ts";
import { Residual } from "./residual.ts";
import type { Session } from "./session.ts";
import { type IscsiTask, R2T_QUEUED, R2T_SENT } from "./tasks.ts";

const residual = new Residual();

/** Residual of a completed task (RFC 7143 §11.4.5). */
function setResidual(task: IscsiTask): void {
  if (!task.isWrite) residual.set(task.expectedBytes, task.inBytes);
  // A write that failed before its data was in moved what came, no more.
  else if (task.status === STATUS_GOOD || task.dataDone) residual.set(task.expectedBytes, task.outBytes);
  else residual.set(task.expectedBytes, Math.min(task.receivedBytes, task.outBytes));
}

export function stageTask(
  session: Session,
  output: Output,
  kind: number,
  index: number,
  generation: number,
  at: number,
): number {
  const task = session.pool?.tasks[index];
  if (task === undefined || !task.inUse || task.generation !== generation) return 0;
  switch (kind) {
    case ENTRY_R2T:
      return stageR2T(session, task, at);
    case ENTRY_DATA_IN:
      return stageDataIn(session, output, task, at);
    case ENTRY_STATUS:
      return stageStatus(session, task, at);
    default:
      return 0;
  }
}

function stageR2T(session: Session, task: IscsiTask, at: number): number {
  if (task.r2t !== R2T_QUEUED || task.completed || task.aborted) return 0;
  const { view } = session.host.memory;
  const bytes = Math.min(task.takenBytes - task.receivedBytes, session.parameters.maxBurstBytes);
  task.r2t = R2T_SENT;
  task.r2tTag = ((task.generation << 8) | task.index) >>> 0;
  task.r2tEnd = task.receivedBytes + bytes;
  task.dataSN = 0;
  encodeR2T(view, at, Math.max(0, task.lun), task.itt, task.r2tTag, task.r2tSN++, task.receivedBytes, bytes);
  session.stamp(at, false);
  return BHS_BYTES;
}

function stageDataIn(session: Session, output: Output, task: IscsiTask, at: number): number {
  const { maxBurstBytes, peerSegmentBytes } = session.parameters;
  const total = Math.min(task.inBytes, task.expectedInBytes);
  const offset = task.sentBytes;
  const burstRest = maxBurstBytes - (offset % maxBurstBytes);
  const bytes = Math.min(total - offset, peerSegmentBytes, burstRest);
  const last = offset + bytes === total;
  const withStatus = last && task.status === STATUS_GOOD;
  let flags = last || bytes === burstRest ? FLAG_FINAL : 0;
  residual.bytes = 0;
  if (withStatus) {
    setResidual(task);
    flags |= FLAG_STATUS | residual.flags;
  }
  const { view } = session.host.memory;
  encodeDataIn(view, at, flags, 0, 0, task.itt, task.dataInSN++, offset, residual.bytes, bytes);
  task.sentBytes += bytes;
  output.attach(task.inAddress + offset, bytes, withStatus ? task : null);
  session.host.stats.bytesIn += bytes;
  if (withStatus) session.stampLeaving(at);
  else {
    session.stamp(at, false);
    output.keepEntry(last ? ENTRY_STATUS : ENTRY_DATA_IN);
  }
  return BHS_BYTES;
}

function stageStatus(session: Session, task: IscsiTask, at: number): number {
  const { view, bytes } = session.host.memory;
  const sense = task.senseBytes;
  const data = sense > 0 ? sense + 2 : 0;
  const pad = padBytes(data);
  setResidual(task);
  const count = task.dataInSN + task.r2tSN;
  encodeScsiResponse(view, at, 0, task.status, task.itt, count, residual.flags, residual.bytes, data);
  if (data > 0) {
    view.setUint16(at + BHS_BYTES, sense);
    for (let index = 0; index < sense; index++) bytes[at + BHS_BYTES + 2 + index] = task.sense[index] ?? 0;
    bytes.fill(0, at + BHS_BYTES + data, at + BHS_BYTES + data + pad);
  }
  session.release(task);
  session.stamp(at, true);
  return BHS_BYTES + data + pad;
}
