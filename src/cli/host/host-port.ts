/** @module What a backup server needs below it: something that carries CDBs to logical units, and outcomes that say
 *  what became of them. Our initiator fits it, and so does the benches' libiscsi session. */

import { parseSense, type Sense, senseText } from "../../scsi/sense.ts";

export type HostDirection = "none" | "in" | "out";

/** The answer to one command; the same object is filled again and again. */
export class HostReply {
  reached = true;
  cause = "";
  status = 0;
  readonly sense = new Uint8Array(252);
  senseBytes = 0;
  transferredBytes = 0;
}

export interface HostPort {
  execute(
    lun: number,
    cdb: Uint8Array,
    direction: HostDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: HostReply,
  ): void;
}

/** ... and lets several commands wait for their answers at once: our initiator. */
export interface HostQueue extends HostPort {
  /** A place, or -1 when all are taken. */
  submit(
    lun: number,
    cdb: Uint8Array,
    direction: HostDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
  ): number;
  /** Works until a command has ended or the time has passed. */
  serve(timeoutMs: number): void;
  /** The place of a command that has ended, or -1. */
  reap(): number;
  replyOf(place: number): HostReply;
}

export type HostOutcome =
  | { readonly kind: "good" }
  | { readonly kind: "checkCondition"; readonly sense: Sense; readonly residualBytes: number }
  /** BUSY, TASK SET FULL, RESERVATION CONFLICT ... */
  | { readonly kind: "status"; readonly status: number }
  /** Carried out or not: unknown. */
  | { readonly kind: "unreached"; readonly cause: string };

/** One object for every GOOD: a block costs no allocation. */
export const GOOD: HostOutcome = { kind: "good" };

export const STATUS_CHECK_CONDITION = 0x02;
export const STATUS_BUSY = 0x08;
export const STATUS_TASK_SET_FULL = 0x28;

/** Turns a reply into an outcome. */
export function outcomeOf(reply: HostReply, expectedBytes: number): HostOutcome {
  if (!reply.reached) return { kind: "unreached", cause: reply.cause };
  if (reply.status === 0) return GOOD;
  if (reply.status !== STATUS_CHECK_CONDITION) return { kind: "status", status: reply.status };
  return {
    kind: "checkCondition",
    sense: readSense(reply.sense, reply.senseBytes),
    residualBytes: expectedBytes - reply.transferredBytes,
  };
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
