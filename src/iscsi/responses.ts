/** @module Encoders for the PDUs that a target sends (RFC 7143 §11.4 to §11.19). The three sequence numbers that all of
 *  them carry at the same place are written by `stampSequence` when the PDU's turn to go out has come, so that StatSN
 *  follows the order on the wire and the window is the newest. */
import {
  AT_ASYNC_EVENT,
  AT_ASYNC_PARAMETER1,
  AT_ASYNC_PARAMETER2,
  AT_ASYNC_PARAMETER3,
  AT_BUFFER_OFFSET,
  AT_DATA_SN,
  AT_EXP_CMD_SN,
  AT_ITT,
  AT_LOGIN_STATUS,
  AT_MAX_CMD_SN,
  AT_R2T_BYTES,
  AT_R2T_OFFSET,
  AT_R2T_SN,
  AT_REASON,
  AT_RESIDUAL,
  AT_RESPONSE,
  AT_STAT_SN,
  AT_STATUS,
  AT_TIME2RETAIN,
  AT_TIME2WAIT,
  AT_TTT,
  BHS_BYTES,
  clearHeader,
  FLAG_CONTINUE,
  FLAG_FINAL,
  loginFlags,
  OP_ASYNC_MESSAGE,
  OP_DATA_IN,
  OP_LOGIN_RESPONSE,
  OP_LOGOUT_RESPONSE,
  OP_NOP_IN,
  OP_R2T,
  OP_REJECT,
  OP_SCSI_RESPONSE,
  OP_TASK_MANAGEMENT_RESPONSE,
  OP_TEXT_RESPONSE,
  setDataBytes,
  setLoginSession,
  setLun,
  TAG_NONE,
} from "./pdu.ts";

export function stampSequence(
  view: DataView,
  at: number,
  statSN: number,
  expCmdSN: number,
  maxCmdSN: number,
): void {
  view.setUint32(at + AT_STAT_SN, statSN);
  view.setUint32(at + AT_EXP_CMD_SN, expCmdSN);
  view.setUint32(at + AT_MAX_CMD_SN, maxCmdSN);
}

/** `response`: 0 completed at the target, 1 target failure. `residualFlags`: FLAG_OVERFLOW or FLAG_UNDERFLOW or 0. */
export function encodeScsiResponse(
  view: DataView,
  at: number,
  response: number,
  status: number,
  itt: number,
  expDataSN: number,
  residualFlags: number,
  residualBytes: number,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_SCSI_RESPONSE, FLAG_FINAL | residualFlags);
  view.setUint8(at + AT_RESPONSE, response);
  view.setUint8(at + AT_STATUS, status);
  setDataBytes(view, at, dataBytes);
  view.setUint32(at + AT_ITT, itt);
  view.setUint32(at + AT_DATA_SN, expDataSN);
  view.setUint32(at + AT_RESIDUAL, residualBytes);
}

/** `flags`: FLAG_FINAL at the end of a burst; FLAG_STATUS with residual flags in the last PDU of a GOOD command. */
export function encodeDataIn(
  view: DataView,
  at: number,
  flags: number,
  status: number,
  lun: number,
  itt: number,
  dataSN: number,
  bufferOffset: number,
  residualBytes: number,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_DATA_IN, flags);
  view.setUint8(at + AT_STATUS, status);
  setDataBytes(view, at, dataBytes);
  setLun(view, at, lun);
  view.setUint32(at + AT_ITT, itt);
  view.setUint32(at + AT_TTT, TAG_NONE);
  view.setUint32(at + AT_DATA_SN, dataSN);
  view.setUint32(at + AT_BUFFER_OFFSET, bufferOffset);
  view.setUint32(at + AT_RESIDUAL, residualBytes);
}

export function encodeR2T(
  view: DataView,
  at: number,
  lun: number,
  itt: number,
  ttt: number,
  r2tSN: number,
  bufferOffset: number,
  bytes: number,
): void {
  clearHeader(view, at, OP_R2T, FLAG_FINAL);
  setLun(view, at, lun);
  view.setUint32(at + AT_ITT, itt);
  view.setUint32(at + AT_TTT, ttt);
  view.setUint32(at + AT_R2T_SN, r2tSN);
  view.setUint32(at + AT_R2T_OFFSET, bufferOffset);
  view.setUint32(at + AT_R2T_BYTES, bytes);
}

/** The answer to a ping (`ttt` = TAG_NONE), or a ping of the target's own (`itt` = TAG_NONE). */
export function encodeNopIn(
  view: DataView,
  at: number,
  lun: number,
  itt: number,
  ttt: number,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_NOP_IN, FLAG_FINAL);
  setDataBytes(view, at, dataBytes);
  setLun(view, at, lun);
  view.setUint32(at + AT_ITT, itt);
  view.setUint32(at + AT_TTT, ttt);
}

export function encodeTaskManagementResponse(
  view: DataView,
  at: number,
  response: number,
  itt: number,
): void {
  clearHeader(view, at, OP_TASK_MANAGEMENT_RESPONSE, FLAG_FINAL);
  view.setUint8(at + AT_RESPONSE, response);
  view.setUint32(at + AT_ITT, itt);
}

/** `status`: LOGIN_*, class and detail. ISID as in the request. */
export function encodeLoginResponse(
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
  status: number,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_LOGIN_RESPONSE, loginFlags(transit, continues, currentStage, nextStage));
  setDataBytes(view, at, dataBytes);
  setLoginSession(view, at, isidHigh, isidLow, tsih);
  view.setUint32(at + AT_ITT, itt);
  view.setUint16(at + AT_LOGIN_STATUS, status);
}

/** `ttt`: TAG_NONE with `final`, else the tag that the next request of the exchange must carry. */
export function encodeTextResponse(
  view: DataView,
  at: number,
  final: boolean,
  continues: boolean,
  itt: number,
  ttt: number,
  dataBytes: number,
): void {
  clearHeader(view, at, OP_TEXT_RESPONSE, (final ? FLAG_FINAL : 0) | (continues ? FLAG_CONTINUE : 0));
  setDataBytes(view, at, dataBytes);
  view.setUint32(at + AT_ITT, itt);
  view.setUint32(at + AT_TTT, ttt);
}

export function encodeLogoutResponse(
  view: DataView,
  at: number,
  response: number,
  itt: number,
  time2WaitSeconds: number,
  time2RetainSeconds: number,
): void {
  clearHeader(view, at, OP_LOGOUT_RESPONSE, FLAG_FINAL);
  view.setUint8(at + AT_RESPONSE, response);
  view.setUint32(at + AT_ITT, itt);
  view.setUint16(at + AT_TIME2WAIT, time2WaitSeconds);
  view.setUint16(at + AT_TIME2RETAIN, time2RetainSeconds);
}

/** The data segment is the header that was rejected (48 bytes). */
export function encodeReject(view: DataView, at: number, reason: number): void {
  clearHeader(view, at, OP_REJECT, FLAG_FINAL);
  view.setUint8(at + AT_REASON, reason);
  setDataBytes(view, at, BHS_BYTES);
  view.setUint32(at + AT_ITT, TAG_NONE);
}

export function encodeAsyncMessage(
  view: DataView,
  at: number,
  event: number,
  parameter1: number,
  parameter2: number,
  parameter3: number,
): void {
  clearHeader(view, at, OP_ASYNC_MESSAGE, FLAG_FINAL);
  view.setUint32(at + AT_ITT, TAG_NONE);
  view.setUint8(at + AT_ASYNC_EVENT, event);
  view.setUint16(at + AT_ASYNC_PARAMETER1, parameter1);
  view.setUint16(at + AT_ASYNC_PARAMETER2, parameter2);
  view.setUint16(at + AT_ASYNC_PARAMETER3, parameter3);
}
