/** @module Task management functions (RFC 7143 §11.5): aborts and resets. All take effect before the response is queued. */
import {
  AT_ITT,
  AT_REFERENCED_TAG,
  field,
  flagsOf,
  lunAt,
  TMF_ABORT_TASK,
  TMF_ABORT_TASK_SET,
  TMF_CLEAR_TASK_SET,
  TMF_COMPLETE,
  TMF_LOGICAL_UNIT_RESET,
  TMF_NO_LUN,
  TMF_NO_TASK,
  TMF_NOT_SUPPORTED,
  TMF_REASSIGN_NOT_SUPPORTED,
  TMF_TARGET_COLD_RESET,
  TMF_TARGET_WARM_RESET,
  TMF_TASK_REASSIGN,
} from "../iscsi/pdu.ts";
import { encodeTaskManagementResponse } from "../iscsi/responses.ts";
import type { Session } from "./session.ts";

const FUNCTION_MASK = 0x7f;

export function handleTaskManagement(session: Session, at: number): void {
  const { host, connection } = session;
  const { view } = host.memory;
  const code = flagsOf(view, at) & FUNCTION_MASK;
  const response = carryOut(session, code, lunAt(view, at), field(view, at, AT_REFERENCED_TAG));
  const itt = field(view, at, AT_ITT);
  connection.sendHeader((to) => encodeTaskManagementResponse(view, to, response, itt), true);
  if (code === TMF_TARGET_COLD_RESET) host.endAllSessions();
}

function carryOut(session: Session, code: number, lun: number, referenced: number): number {
  const { host, pool } = session;
  const unit = host.units.get(lun);
  switch (code) {
    case TMF_ABORT_TASK: {
      const task = pool?.find(referenced) ?? null;
      return task !== null && session.abort(task) ? TMF_COMPLETE : TMF_NO_TASK;
    }
    case TMF_ABORT_TASK_SET:
      if (unit === undefined) return TMF_NO_LUN;
      session.abortTasks(lun);
      return TMF_COMPLETE;
    case TMF_CLEAR_TASK_SET:
      if (unit === undefined) return TMF_NO_LUN;
      host.abortAll(lun);
      return TMF_COMPLETE;
    case TMF_LOGICAL_UNIT_RESET:
      if (unit === undefined) return TMF_NO_LUN;
      host.abortAll(lun);
      unit.reset("lun");
      return TMF_COMPLETE;
    case TMF_TARGET_WARM_RESET:
    case TMF_TARGET_COLD_RESET:
      host.abortAll(-1);
      for (const each of host.units.values()) each.reset("target");
      return TMF_COMPLETE;
    case TMF_TASK_REASSIGN:
      return TMF_REASSIGN_NOT_SUPPORTED;
    default:
      return TMF_NOT_SUPPORTED;
  }
}
