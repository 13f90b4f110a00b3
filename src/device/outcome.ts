/** @module What became of a command, from status and sense: literals, so that the stream of writes allocates nothing. */
import type { Sense } from "../scsi/sense.ts";
import { KEY_BLANK_CHECK, KEY_NOT_READY, KEY_UNIT_ATTENTION, KEY_VOLUME_OVERFLOW } from "../scsi/senses.ts";
import {
  STATUS_BUSY,
  STATUS_CHECK_CONDITION,
  STATUS_GOOD,
  STATUS_RESERVATION_CONFLICT,
  STATUS_TASK_SET_FULL,
} from "../scsi/unit/task.ts";

export type DriveOutcome =
  | "good"
  /** The data was written; the end of the medium is near (NO SENSE or RECOVERED, EOM). */
  | "earlyWarning"
  /** A filemark was met (reading, spacing). */
  | "filemark"
  | "endOfData"
  | "beginningOfMedium"
  /** READ: the block has another length; `information` says by how much. */
  | "incorrectLength"
  /** VOLUME OVERFLOW: not (all) written; `information` is the rest. */
  | "endOfMedium"
  | "unitAttention"
  | "notReady"
  /** A command that was answered GOOD before has failed since (71h, 73h). */
  | "deferredError"
  /** Any other CHECK CONDITION or status. */
  | "error"
  | "busy"
  | "reservationConflict"
  /** Transport lost or timed out: carried out or not, nobody knows. */
  | "unreachable";

/** `sense`: of a CHECK CONDITION, null where there was none that can be read. */
export function outcomeOf(status: number, sense: Sense | null): DriveOutcome {
  switch (status) {
    case STATUS_GOOD:
      return "good";
    case STATUS_CHECK_CONDITION:
      return sense === null ? "error" : outcomeOfSense(sense);
    case STATUS_BUSY:
    case STATUS_TASK_SET_FULL:
      return "busy";
    case STATUS_RESERVATION_CONFLICT:
      return "reservationConflict";
    default:
      return "error";
  }
}

function outcomeOfSense(sense: Sense): DriveOutcome {
  if (sense.deferred) return "deferredError";
  switch (sense.key) {
    case 0:
    case 1:
      if (sense.filemark) return "filemark";
      if (sense.ili) return "incorrectLength";
      if (sense.eom) return sense.asc === 0 && sense.ascq === 4 ? "beginningOfMedium" : "earlyWarning";
      if (sense.asc === 0 && sense.ascq === 5) return "endOfData"; // tgtd, spacing
      return sense.key === 1 ? "good" : "error";
    case KEY_NOT_READY:
      return "notReady";
    case KEY_UNIT_ATTENTION:
      return "unitAttention";
    case KEY_BLANK_CHECK:
      return "endOfData";
    case KEY_VOLUME_OVERFLOW:
      return "endOfMedium";
    default:
      return "error";
  }
}
