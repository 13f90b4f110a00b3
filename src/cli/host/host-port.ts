/** @module What a backup server needs below it: something that carries CDBs to logical units, and outcomes that say
 *  what became of them. Our initiator fits it, and so does the benches' libiscsi session. */
import type { CommandReply, DataDirection } from "../../base/command-reply.ts";
import { parseSense, type Sense, senseText } from "../../scsi/sense.ts";
import {
  STATUS_BUSY,
  STATUS_CHECK_CONDITION,
  STATUS_GOOD,
  STATUS_TASK_SET_FULL,
} from "../../scsi/unit/task.ts";

export interface HostPort {
  execute(
    lun: number,
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void;
}

/** ... and lets several commands wait for their answers at once: our initiator. */
export interface HostQueue extends HostPort {
  /** A place, or -1 when all are taken. */
  submit(
    lun: number,
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
  ): number;
  /** Works until a command has ended or the time has passed. */
  serve(timeoutMs: number): void;
  /** The place of a command that has ended, or -1. */
  reap(): number;
  replyOf(place: number): CommandReply;
}

export type HostOutcome =
  | { readonly kind: "good" }
  | { readonly kind: "checkCondition"; readonly sense: Sense; readonly residualBytes: number }
  /** BUSY, TASK SET FULL, RESERVATION CONFLICT ... */
  | { readonly kind: "status"; readonly status: number }
  /** Carried out or not: unknown. */
  | { readonly kind: "unreached"; readonly cause: string };

/** One object for every GOOD: a block costs no allocation. */
const GOOD: HostOutcome = { kind: "good" };

/** Turns a reply into an outcome. */
export function outcomeOf(reply: CommandReply, expectedBytes: number): HostOutcome {
  if (!reply.reached) return { kind: "unreached", cause: reply.cause };
  if (reply.status === STATUS_GOOD) return GOOD;
  if (reply.status !== STATUS_CHECK_CONDITION) return { kind: "status", status: reply.status };
  return {
    kind: "checkCondition",
    sense: readSense(reply.sense, reply.senseBytes),
    residualBytes: expectedBytes - reply.transferredBytes,
  };
}

/** The device had no room for the command: it was not carried out and may be sent again. */
export function isBusy(reply: CommandReply): boolean {
  return reply.reached && (reply.status === STATUS_BUSY || reply.status === STATUS_TASK_SET_FULL);
}

/** A CHECK CONDITION whose sense cannot be read says nothing. */
const NO_SENSE: Sense = { key: 0, asc: 0, ascq: 0 };

export function readSense(bytes: Uint8Array, length: number): Sense {
  return parseSense(bytes.subarray(0, length)) ?? NO_SENSE;
}

/** Words for an outcome, for messages and tests. */
export function describeOutcome(outcome: HostOutcome): string {
  switch (outcome.kind) {
    case "good":
      return "GOOD";
    case "status":
      return `status ${outcome.status.toString(16)}h`;
    case "unreached":
      return `not reached: ${outcome.cause}`;
    case "checkCondition":
      return senseText(outcome.sense);
  }
}
