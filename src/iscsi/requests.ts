/** @module Encoders for the PDUs that an initiator sends (RFC 7143 §11.3 to §11.18). Each writes one basic header
 *  segment at `at`; the data segment, where there is one, is the caller's. */
import {
  AT_BUFFER_OFFSET,
  AT_CDB,
  AT_CID,
  AT_CMD_SN,
  AT_DATA_SN,
  AT_EDTL,
  AT_EXP_DATA_SN,
  AT_EXP_STAT_SN,
  AT_ITT,
  AT_REF_CMD_SN,
  AT_REFERENCED_TAG,
  AT_TTT,
  clearHeader,
  FLAG_CONTINUE,
  FLAG_FINAL,
  IMMEDIATE,
  loginFlags,
  OP_DATA_OUT,
  OP_LOGIN,
  OP_LOGOUT,
  OP_NOP_OUT,
  OP_SCSI_COMMAND,
  OP_SNACK,
  OP_TASK_MANAGEMENT,
  OP_TEXT,
  setDataBytes,
  setLoginSession,
  setLun,
} from "./pdu.ts";

/** Task attribute SIMPLE (RFC 7143 §11.3.1). */
export const ATTRIBUTE_SIMPLE = 1;

/** What all requests that take part in the command order carry at the same place. */
function stampRequest(view: DataView, at: number, itt: number, cmdSN: number, expStatSN: number): void {
  view.setUint32(at + AT_ITT, itt);
  view.setUint32(at + AT_CMD_SN, cmdSN);
  view.setUint32(at + AT_EXP_STAT_SN, expStatSN);
}

/** `flags`: FLAG_FINAL, FLAG_READ, FLAG_WRITE and the task attribute. A CDB shorter than 16 bytes is padded. */
export function encodeScsiCommand(
  view: DataView,
  at: number,
  flags: number,
  lun: number,
  itt: number,
  expectedBytes: number,
  cmdSN: number,
  expStatSN: number,
  cdb: Uint8Array,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_SCSI_COMMAND, flags);
  setDataBytes(view, at, dataBytes);
  setLun(view, at, lun);
  view.setUint32(at + AT_EDTL, expectedBytes);
  stampRequest(view, at, itt, cmdSN, expStatSN);
  const length = Math.min(cdb.length, 16);
  for (let index = 0; index < length; index++) view.setUint8(at + AT_CDB + index, cdb[index] ?? 0);
}

/** `ttt`: TAG_NONE for unsolicited data, else that of the R2T. */
export function encodeDataOut(
  view: DataView,
  at: number,
  final: boolean,
  lun: number,
  itt: number,
  ttt: number,
  expStatSN: number,
  dataSN: number,
  bufferOffset: number,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_DATA_OUT, final ? FLAG_FINAL : 0);
  setDataBytes(view, at, dataBytes);
  setLun(view, at, lun);
  view.setUint32(at + AT_ITT, itt);
  view.setUint32(at + AT_TTT, ttt);
  view.setUint32(at + AT_EXP_STAT_SN, expStatSN);
  view.setUint32(at + AT_DATA_SN, dataSN);
  view.setUint32(at + AT_BUFFER_OFFSET, bufferOffset);
}

/** A ping (`ttt` = TAG_NONE) or the answer to a NOP-In (`itt` = TAG_NONE, its LUN and TTT). */
export function encodeNopOut(
  view: DataView,
  at: number,
  immediate: boolean,
  lun: number,
  itt: number,
  ttt: number,
  cmdSN: number,
  expStatSN: number,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_NOP_OUT | (immediate ? IMMEDIATE : 0), FLAG_FINAL);
  setDataBytes(view, at, dataBytes);
  setLun(view, at, lun);
  view.setUint32(at + AT_TTT, ttt);
  stampRequest(view, at, itt, cmdSN, expStatSN);
}

export function encodeTaskManagement(
  view: DataView,
  at: number,
  immediate: boolean,
  taskFunction: number,
  lun: number,
  itt: number,
  referencedTag: number,
  refCmdSN: number,
  cmdSN: number,
  expStatSN: number,
): void {
  clearHeader(view, at, OP_TASK_MANAGEMENT | (immediate ? IMMEDIATE : 0), FLAG_FINAL | taskFunction);
  setLun(view, at, lun);
  view.setUint32(at + AT_REFERENCED_TAG, referencedTag);
  stampRequest(view, at, itt, cmdSN, expStatSN);
  view.setUint32(at + AT_REF_CMD_SN, refCmdSN);
  view.setUint32(at + AT_EXP_DATA_SN, 0);
}

/** ISID as `setLoginSession` takes it. Login is always immediate. */
export function encodeLogin(
  view: DataView,
  at: number,
  transit: boolean,
  continues: boolean,
  currentStage: number,
  nextStage: number,
  isidHigh: number,
  isidLow: number,
  tsih: number,
  itt: number,
  cid: number,
  cmdSN: number,
  expStatSN: number,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_LOGIN | IMMEDIATE, loginFlags(transit, continues, currentStage, nextStage));
  setDataBytes(view, at, dataBytes);
  setLoginSession(view, at, isidHigh, isidLow, tsih);
  view.setUint16(at + AT_CID, cid);
  stampRequest(view, at, itt, cmdSN, expStatSN);
}

export function encodeText(
  view: DataView,
  at: number,
  immediate: boolean,
  final: boolean,
  continues: boolean,
  itt: number,
  ttt: number,
  cmdSN: number,
  expStatSN: number,
  dataBytes: number,
): void {
  const flags = (final ? FLAG_FINAL : 0) | (continues ? FLAG_CONTINUE : 0);
  clearHeader(view, at, OP_TEXT | (immediate ? IMMEDIATE : 0), flags);
  setDataBytes(view, at, dataBytes);
  view.setUint32(at + AT_TTT, ttt);
  stampRequest(view, at, itt, cmdSN, expStatSN);
}

/** `reason`: LOGOUT_SESSION, LOGOUT_CONNECTION or LOGOUT_RECOVERY. */
export function encodeLogout(
  view: DataView,
  at: number,
  immediate: boolean,
  reason: number,
  itt: number,
  cid: number,
  cmdSN: number,
  expStatSN: number,
): void {
  clearHeader(view, at, OP_LOGOUT | (immediate ? IMMEDIATE : 0), FLAG_FINAL | reason);
  view.setUint16(at + AT_CID, cid);
  stampRequest(view, at, itt, cmdSN, expStatSN);
}

export function encodeSnack(
  view: DataView,
  at: number,
  type: number,
  lun: number,
  itt: number,
  ttt: number,
  expStatSN: number,
  begin: number,
  run: number,
): void {
  clearHeader(view, at, OP_SNACK, FLAG_FINAL | (type & 15));
  setLun(view, at, lun);
  view.setUint32(at + AT_ITT, itt);
  view.setUint32(at + AT_TTT, ttt);
  view.setUint32(at + AT_EXP_STAT_SN, expStatSN);
  view.setUint32(at + 40, begin);
  view.setUint32(at + 44, run);
}
