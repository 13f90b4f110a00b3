/** @module iSCSI PDUs (RFC 7143 §11): the 48-byte basic header segment, read and written in place.
 *
 *      byte  0        1        2        3        4        5 .. 7            8 .. 15
 *          I|opcode  flags    opcode-specific    AHS/4    data bytes (u24)  LUN or opcode-specific
 *           16 .. 19              20 .. 47
 *          initiator task tag     opcode-specific; sequence numbers from byte 24
 *
 *  No object is made for a PDU: everything takes a DataView and the offset of the header in it, so that headers may lie
 *  in shared memory that recv() and send() use directly. Encoders (requests.ts, responses.ts) clear the header first. */

export const BHS_BYTES = 48;
/** The largest AHS: TotalAHSLength counts 4-byte words in one byte. */
export const AHS_BYTES_MAX = 255 * 4;
/** DataSegmentLength is 24 bits. */
export const DATA_SEGMENT_BYTES_MAX = 0xffffff;
/** What either side may send before the other declared more (RFC 7143 §13.12). */
export const DATA_SEGMENT_BYTES_DEFAULT = 8192;
/** Reserved tag: no task, no transfer (RFC 7143 §11.2.1.8). */
export const TAG_NONE = 0xffffffff;

// --- opcodes, initiator to target ---
export const OP_NOP_OUT = 0x00;
export const OP_SCSI_COMMAND = 0x01;
export const OP_TASK_MANAGEMENT = 0x02;
export const OP_LOGIN = 0x03;
export const OP_TEXT = 0x04;
export const OP_DATA_OUT = 0x05;
export const OP_LOGOUT = 0x06;
export const OP_SNACK = 0x10;

// --- opcodes, target to initiator ---
export const OP_NOP_IN = 0x20;
export const OP_SCSI_RESPONSE = 0x21;
export const OP_TASK_MANAGEMENT_RESPONSE = 0x22;
export const OP_LOGIN_RESPONSE = 0x23;
export const OP_TEXT_RESPONSE = 0x24;
export const OP_DATA_IN = 0x25;
export const OP_LOGOUT_RESPONSE = 0x26;
export const OP_R2T = 0x31;
export const OP_ASYNC_MESSAGE = 0x32;
export const OP_REJECT = 0x3f;

export const OPCODE_NAMES: Readonly<Record<number, string>> = {
  [OP_NOP_OUT]: "NOP-Out",
  [OP_SCSI_COMMAND]: "SCSI Command",
  [OP_TASK_MANAGEMENT]: "Task Management Function Request",
  [OP_LOGIN]: "Login Request",
  [OP_TEXT]: "Text Request",
  [OP_DATA_OUT]: "SCSI Data-Out",
  [OP_LOGOUT]: "Logout Request",
  [OP_SNACK]: "SNACK Request",
  [OP_NOP_IN]: "NOP-In",
  [OP_SCSI_RESPONSE]: "SCSI Response",
  [OP_TASK_MANAGEMENT_RESPONSE]: "Task Management Function Response",
  [OP_LOGIN_RESPONSE]: "Login Response",
  [OP_TEXT_RESPONSE]: "Text Response",
  [OP_DATA_IN]: "SCSI Data-In",
  [OP_LOGOUT_RESPONSE]: "Logout Response",
  [OP_R2T]: "Ready To Transfer",
  [OP_ASYNC_MESSAGE]: "Asynchronous Message",
  [OP_REJECT]: "Reject",
};

/** Byte 0: deliver at once, CmdSN does not advance. */
export const IMMEDIATE = 0x40;
export const OPCODE_MASK = 0x3f;

// --- byte 1 ---
/** Final PDU of a sequence; mandatory 1 in PDUs that have no sequence. */
export const FLAG_FINAL = 0x80;
/** Login and Text: the key=value text goes on in the next PDU. */
export const FLAG_CONTINUE = 0x40;
/** Login: ready for the next stage. */
export const FLAG_TRANSIT = 0x80;
/** SCSI Command. */
export const FLAG_READ = 0x40;
export const FLAG_WRITE = 0x20;
export const ATTRIBUTE_MASK = 0x07;
/** SCSI Response and Data-In: residual. */
export const FLAG_OVERFLOW = 0x04;
export const FLAG_UNDERFLOW = 0x02;
/** SCSI Response: residual of the read part of a bidirectional command. */
export const FLAG_BIDI_OVERFLOW = 0x10;
export const FLAG_BIDI_UNDERFLOW = 0x08;
/** Data-In: the status is in this PDU. */
export const FLAG_STATUS = 0x01;
/** Data-In: acknowledge wanted (error recovery level 1 up). */
export const FLAG_ACKNOWLEDGE = 0x40;

// --- login stages (CSG and NSG) ---
export const STAGE_SECURITY = 0;
export const STAGE_OPERATIONAL = 1;
export const STAGE_FULL_FEATURE = 3;

// --- task management functions and responses (RFC 7143 §11.5.1, §11.6.1) ---
export const TMF_ABORT_TASK = 1;
export const TMF_ABORT_TASK_SET = 2;
export const TMF_CLEAR_ACA = 3;
export const TMF_CLEAR_TASK_SET = 4;
export const TMF_LOGICAL_UNIT_RESET = 5;
export const TMF_TARGET_WARM_RESET = 6;
export const TMF_TARGET_COLD_RESET = 7;
export const TMF_TASK_REASSIGN = 8;
export const TMF_COMPLETE = 0;
export const TMF_NO_TASK = 1;
export const TMF_NO_LUN = 2;
export const TMF_TASK_STILL_ALLEGIANT = 3;
export const TMF_REASSIGN_NOT_SUPPORTED = 4;
export const TMF_NOT_SUPPORTED = 5;
export const TMF_REJECTED = 255;

// --- logout (RFC 7143 §11.14.1, §11.15.1) ---
export const LOGOUT_SESSION = 0;
export const LOGOUT_CONNECTION = 1;
export const LOGOUT_RECOVERY = 2;
export const LOGOUT_DONE = 0;
export const LOGOUT_NO_CID = 1;
export const LOGOUT_RECOVERY_NOT_SUPPORTED = 2;
export const LOGOUT_CLEANUP_FAILED = 3;

// --- Reject reasons (RFC 7143 §11.17.1) ---
export const REJECT_DATA_DIGEST = 0x02;
export const REJECT_SNACK = 0x03;
export const REJECT_PROTOCOL_ERROR = 0x04;
export const REJECT_NOT_SUPPORTED = 0x05;
export const REJECT_TOO_MANY_IMMEDIATE = 0x06;
export const REJECT_TASK_IN_PROGRESS = 0x07;
export const REJECT_INVALID_DATA_ACK = 0x08;
export const REJECT_INVALID_FIELD = 0x09;
export const REJECT_LONG_OPERATION = 0x0a;
export const REJECT_WAITING_FOR_LOGOUT = 0x0c;

// --- Asynchronous Message events (RFC 7143 §11.9.1) ---
export const ASYNC_SCSI = 0;
export const ASYNC_LOGOUT_REQUEST = 1;
export const ASYNC_CONNECTION_DROP = 2;
export const ASYNC_SESSION_DROP = 3;
export const ASYNC_NEGOTIATION_REQUEST = 4;

// --- login status, class and detail in one number (RFC 7143 §11.13.5) ---
export const LOGIN_SUCCESS = 0x0000;
export const LOGIN_MOVED_TEMPORARILY = 0x0101;
export const LOGIN_MOVED_PERMANENTLY = 0x0102;
export const LOGIN_INITIATOR_ERROR = 0x0200;
export const LOGIN_AUTHENTICATION_FAILURE = 0x0201;
export const LOGIN_AUTHORIZATION_FAILURE = 0x0202;
export const LOGIN_NOT_FOUND = 0x0203;
export const LOGIN_TARGET_REMOVED = 0x0204;
export const LOGIN_UNSUPPORTED_VERSION = 0x0205;
export const LOGIN_TOO_MANY_CONNECTIONS = 0x0206;
export const LOGIN_MISSING_PARAMETER = 0x0207;
export const LOGIN_CANNOT_INCLUDE = 0x0208;
export const LOGIN_SESSION_TYPE_NOT_SUPPORTED = 0x0209;
export const LOGIN_NO_SESSION = 0x020a;
export const LOGIN_INVALID_DURING_LOGIN = 0x020b;
export const LOGIN_TARGET_ERROR = 0x0300;
export const LOGIN_SERVICE_UNAVAILABLE = 0x0301;
export const LOGIN_OUT_OF_RESOURCES = 0x0302;

// --- additional header segments (RFC 7143 §11.2.2) ---
export const AHS_EXTENDED_CDB = 1;
export const AHS_BIDIRECTIONAL = 2;

// --- offsets within the header; a name with two places is listed by PDU ---
export const AT_OPCODE = 0;
export const AT_FLAGS = 1;
/** SCSI Response, TMF Response, Logout Response, Reject: response / reason. */
export const AT_RESPONSE = 2;
export const AT_REASON = 2;
/** SCSI Response and Data-In. */
export const AT_STATUS = 3;
export const AT_AHS_WORDS = 4;
/** 32 bits whose low 24 are the data segment's length. */
export const AT_DATA_BYTES = 4;
export const AT_LUN = 8;
export const AT_ISID = 8;
export const AT_TSIH = 14;
export const AT_ITT = 16;
/** NOP, Text, Data-Out, Data-In, R2T: target transfer tag. */
export const AT_TTT = 20;
/** SCSI Command: expected data transfer length. */
export const AT_EDTL = 20;
/** Login, Logout: connection. */
export const AT_CID = 20;
/** Task management: the task that is meant. SNACK: too. */
export const AT_REFERENCED_TAG = 20;
/** Requests. */
export const AT_CMD_SN = 24;
export const AT_EXP_STAT_SN = 28;
/** Task management. */
export const AT_REF_CMD_SN = 32;
export const AT_EXP_DATA_SN = 36;
/** SCSI Command. */
export const AT_CDB = 32;
/** Answers. */
export const AT_STAT_SN = 24;
export const AT_EXP_CMD_SN = 28;
export const AT_MAX_CMD_SN = 32;
/** Login Response. */
export const AT_LOGIN_STATUS = 36;
/** Data-Out, Data-In. */
export const AT_DATA_SN = 36;
export const AT_BUFFER_OFFSET = 40;
/** R2T. */
export const AT_R2T_SN = 36;
export const AT_R2T_OFFSET = 40;
export const AT_R2T_BYTES = 44;
/** SCSI Response, Data-In with status. */
export const AT_RESIDUAL = 44;
export const AT_BIDI_RESIDUAL = 40;
/** Asynchronous Message. */
export const AT_ASYNC_EVENT = 36;
export const AT_ASYNC_PARAMETER1 = 38;
export const AT_ASYNC_PARAMETER2 = 40;
export const AT_ASYNC_PARAMETER3 = 42;
/** Logout Response, connection times. */
export const AT_TIME2WAIT = 40;
export const AT_TIME2RETAIN = 42;

export function opcodeOf(view: DataView, at: number): number {
  return view.getUint8(at) & OPCODE_MASK;
}

export function isImmediate(view: DataView, at: number): boolean {
  return (view.getUint8(at) & IMMEDIATE) !== 0;
}

export function flagsOf(view: DataView, at: number): number {
  return view.getUint8(at + AT_FLAGS);
}

export function ahsBytesOf(view: DataView, at: number): number {
  return view.getUint8(at + AT_AHS_WORDS) * 4;
}

export function dataBytesOf(view: DataView, at: number): number {
  return view.getUint32(at + AT_DATA_BYTES) & 0xffffff;
}

export function setDataBytes(view: DataView, at: number, bytes: number): void {
  view.setUint8(at + 5, bytes >>> 16);
  view.setUint16(at + 6, bytes & 0xffff);
}

/** Bytes that fill a data segment up to the next 4-byte word. */
export function padBytes(bytes: number): number {
  return -bytes & 3;
}

/** Any 32-bit field (tags, sequence numbers, lengths) by its AT_ offset. */
export function field(view: DataView, at: number, offset: number): number {
  return view.getUint32(at + offset);
}

/** RFC 1982 over 32 bits: negative when `left` comes before `right`. */
export function serialDifference(left: number, right: number): number {
  return (left - right) | 0;
}

export function nextSerial(value: number): number {
  return (value + 1) >>> 0;
}

/** LUN number from the 8-byte LUN field, peripheral or flat addressing (SAM-5 §4.7); -1 for any other form. */
export function lunAt(view: DataView, at: number): number {
  const first = view.getUint16(at + AT_LUN);
  if (view.getUint16(at + 10) !== 0 || view.getUint32(at + 12) !== 0) return -1;
  if (first < 0x100) return first;
  return first >>> 14 === 1 ? first & 0x3fff : -1;
}

export function setLun(view: DataView, at: number, lun: number): void {
  view.setUint16(at + AT_LUN, lun < 256 ? lun : 0x4000 | (lun & 0x3fff));
  view.setUint16(at + 10, 0);
  view.setUint32(at + 12, 0);
}

/** Byte 1 of Login Request and Response: T, C, CSG and, with T, NSG. */
export function loginFlags(
  transit: boolean,
  continues: boolean,
  currentStage: number,
  nextStage: number,
): number {
  const stages = (currentStage << 2) | (transit ? nextStage : 0);
  return (transit ? FLAG_TRANSIT : 0) | (continues ? FLAG_CONTINUE : 0) | stages;
}

/** `isidHigh`: bytes 8..11 (type, vendor), `isidLow`: the qualifier in bytes 12, 13; then the TSIH. */
export function setLoginSession(
  view: DataView,
  at: number,
  isidHigh: number,
  isidLow: number,
  tsih: number,
): void {
  view.setUint32(at + AT_ISID, isidHigh);
  view.setUint16(at + AT_ISID + 4, isidLow);
  view.setUint16(at + AT_TSIH, tsih);
}

/** Zeroes the header and sets opcode and flags. */
export function clearHeader(view: DataView, at: number, opcode: number, flags: number): void {
  for (let offset = 0; offset < BHS_BYTES; offset += 8) view.setFloat64(at + offset, 0);
  view.setUint8(at, opcode);
  view.setUint8(at + AT_FLAGS, flags);
}

/** Offset of the AHS of this type within `[at, at + bytes)`, -1 where there is none, -2 where the lengths do not fit. */
export function findAhs(view: DataView, at: number, bytes: number, type: number): number {
  let offset = at;
  const end = at + bytes;
  let found = -1;
  while (offset < end) {
    if (end - offset < 4) return -2;
    // AHSLength counts the bytes after its own type byte, padding left out (RFC 7143 §11.2.2.1).
    const segment = 3 + view.getUint16(offset);
    if (offset + segment > end) return -2;
    if (view.getUint8(offset + 2) === type && found < 0) found = offset;
    offset += (segment + 3) & ~3;
  }
  return found;
}
