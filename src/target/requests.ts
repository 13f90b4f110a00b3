/** @module Full feature PDUs other than commands and their data: NOP-Out, Text, Logout, SNACK, and what is not
 *  supported (RFC 7143 §11.10, §11.14, §11.16, §11.18). */
import {
  AT_CID,
  AT_ITT,
  AT_TTT,
  BHS_BYTES,
  FLAG_CONTINUE,
  FLAG_FINAL,
  field,
  flagsOf,
  LOGOUT_CONNECTION,
  LOGOUT_DONE,
  LOGOUT_NO_CID,
  LOGOUT_RECOVERY_NOT_SUPPORTED,
  LOGOUT_SESSION,
  lunAt,
  OP_LOGIN,
  OP_LOGOUT,
  OP_NOP_OUT,
  OP_SNACK,
  OP_TASK_MANAGEMENT,
  OP_TEXT,
  opcodeOf,
  REJECT_NOT_SUPPORTED,
  REJECT_PROTOCOL_ERROR,
  REJECT_SNACK,
  TAG_NONE,
} from "../iscsi/pdu.ts";
import { encodeLogoutResponse, encodeNopIn, encodeTextResponse } from "../iscsi/responses.ts";
import { formatText } from "../iscsi/text.ts";
import type { Disposition } from "./commands.ts";
import { answerText, type Discoverable } from "./discovery.ts";
import { CONTROL_IN } from "./region.ts";
import type { Session } from "./session.ts";
import { handleTaskManagement } from "./task-management.ts";

/** Target transfer tag of a text exchange that goes on. */
const TEXT_GOES_ON = 1;
const LOGOUT_REASON_MASK = 0x7f;

export function handleRequest(
  session: Session,
  target: Discoverable,
  at: number,
  dataBytes: number,
  keptBytes: number,
): Disposition {
  const { connection } = session;
  const opcode = opcodeOf(session.host.memory.view, at);
  if (opcode === OP_SNACK) return connection.reject(REJECT_SNACK);
  if (opcode === OP_LOGIN) return connection.reject(REJECT_PROTOCOL_ERROR);
  const admitted = opcode <= OP_LOGOUT ? connection.admit() : null;
  if (admitted !== null) return admitted;
  switch (opcode) {
    case OP_NOP_OUT:
      return handleNop(session, at, keptBytes);
    case OP_TEXT:
      return handleText(session, target, at, dataBytes, keptBytes);
    case OP_TASK_MANAGEMENT:
      if (session.discovery) return connection.reject(REJECT_PROTOCOL_ERROR);
      handleTaskManagement(session, at);
      return "discard";
    case OP_LOGOUT:
      handleLogout(session, at);
      return "discard";
    default:
      return connection.reject(REJECT_NOT_SUPPORTED);
  }
}

/** A ping: its data goes back, as much as the initiator takes and the control buffer holds. */
function handleNop(session: Session, at: number, keptBytes: number): Disposition {
  const { connection, host } = session;
  const { view, bytes } = host.memory;
  const itt = field(view, at, AT_ITT);
  if (itt === TAG_NONE) return "discard";
  const echo = Math.min(keptBytes, session.parameters.peerSegmentBytes);
  const lun = Math.max(0, lunAt(view, at));
  const from = connection.at + CONTROL_IN;
  connection.sendWithData(
    (to) => {
      encodeNopIn(view, to, lun, itt, TAG_NONE, echo);
      bytes.copyWithin(to + BHS_BYTES, from, from + echo);
    },
    echo,
    true,
  );
  return "discard";
}

function handleText(
  session: Session,
  target: Discoverable,
  at: number,
  dataBytes: number,
  keptBytes: number,
): Disposition {
  const { connection, host } = session;
  const { view, bytes } = host.memory;
  const flags = flagsOf(view, at);
  const itt = field(view, at, AT_ITT);
  const goesOn = field(view, at, AT_TTT) !== TAG_NONE;
  // A new exchange forgets an unfinished one (RFC 7143 §11.10.4).
  if (!goesOn) connection.text.clear();
  const from = connection.at + CONTROL_IN;
  const continues = (flags & FLAG_CONTINUE) !== 0;
  const final = (flags & FLAG_FINAL) !== 0;
  if (itt === TAG_NONE || (continues && final) || keptBytes < dataBytes) {
    return connection.reject(REJECT_PROTOCOL_ERROR);
  }
  if (!connection.text.add(bytes.subarray(from, from + keptBytes)))
    return connection.reject(REJECT_PROTOCOL_ERROR);
  let reply = new Uint8Array(0);
  if (!continues) {
    const text = connection.text.take();
    if (text.kind === "malformed") return connection.reject(REJECT_PROTOCOL_ERROR);
    reply = Uint8Array.from(formatText(answerText(target, session.parameters, text.pairs)));
  }
  // One target with one address: always within the smallest data segment that an initiator may declare, but for names
  // that were made to be long; those are told by what fits.
  const length = Math.min(reply.length, Math.max(session.parameters.peerSegmentBytes, 512));
  connection.sendWithData(
    (to) => {
      encodeTextResponse(view, to, final, false, itt, final ? TAG_NONE : TEXT_GOES_ON, length);
      bytes.set(reply.subarray(0, length), to + BHS_BYTES);
    },
    length,
    true,
  );
  return "discard";
}

function handleLogout(session: Session, at: number): void {
  const { connection, host, parameters } = session;
  const { view } = host.memory;
  const reason = flagsOf(view, at) & LOGOUT_REASON_MASK;
  const itt = field(view, at, AT_ITT);
  const cid = view.getUint16(at + AT_CID);
  let response = LOGOUT_DONE;
  if (reason === LOGOUT_CONNECTION && cid !== connection.cid) response = LOGOUT_NO_CID;
  else if (reason !== LOGOUT_SESSION && reason !== LOGOUT_CONNECTION)
    response = LOGOUT_RECOVERY_NOT_SUPPORTED;
  const { time2WaitSeconds, time2RetainSeconds } = parameters;
  if (response === LOGOUT_DONE) {
    // The session ends: what is open gets no answer any more (RFC 7143 §11.14).
    session.abortTasks(-1);
    connection.ending = true;
  }
  connection.sendHeader(
    (to) => encodeLogoutResponse(view, to, response, itt, time2WaitSeconds, time2RetainSeconds),
    true,
  );
}
