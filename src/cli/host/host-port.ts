/** @module What a backup server needs below it: something that carries CDBs to logical units, and outcomes that say
 *  what became of them. Our initiator fits it, and so does the benches' libiscsi session. */

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

/** Sense as a backup server reads it. */
export interface HostSense {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  readonly filemark: boolean;
  readonly eom: boolean;
  readonly ili: boolean;
  readonly deferred: boolean;
  /** Signed; undefined where the target gave none. */
  readonly information: number | undefined;
}

export type HostOutcome =
  | { readonly kind: "good" }
  | { readonly kind: "checkCondition"; readonly sense: HostSense; readonly residualBytes: number }
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

const NO_SENSE: HostSense = {
  key: 0,
  asc: 0,
  ascq: 0,
  filemark: false,
  eom: false,
  ili: false,
  deferred: false,
  information: undefined,
};

/** Fixed (70h, 71h) and descriptor (72h, 73h) format (SPC-5 §4.4). */
export function readSense(bytes: Uint8Array, length: number): HostSense {
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(length, bytes.byteLength));
  if (view.byteLength < 4) return NO_SENSE;
  const code = view.getUint8(0) & 0x7f;
  return code === 0x72 || code === 0x73 ? readDescriptors(view, code) : readFixed(view, code);
}

function readFixed(view: DataView, code: number): HostSense {
  const flags = view.getUint8(2);
  const at = (offset: number) => (offset < view.byteLength ? view.getUint8(offset) : 0);
  const valid = (view.getUint8(0) & 0x80) !== 0 && view.byteLength >= 7;
  return {
    ...streamFlags(flags),
    key: flags & 15,
    asc: at(12),
    ascq: at(13),
    deferred: code === 0x71,
    information: valid ? view.getInt32(3) : undefined,
  };
}

const DESCRIPTOR_INFORMATION = 0x00;
const DESCRIPTOR_STREAM = 0x04;

function readDescriptors(view: DataView, code: number): HostSense {
  let flags = 0;
  let information: number | undefined;
  for (let at = 8; at + 2 <= view.byteLength; at += 2 + view.getUint8(at + 1)) {
    const type = view.getUint8(at);
    if (type === DESCRIPTOR_INFORMATION && at + 12 <= view.byteLength) {
      information = Number(view.getBigInt64(at + 4));
    }
    if (type === DESCRIPTOR_STREAM && at + 4 <= view.byteLength) flags = view.getUint8(at + 3);
  }
  return {
    ...streamFlags(flags),
    key: view.getUint8(1) & 15,
    asc: view.getUint8(2),
    ascq: view.getUint8(3),
    deferred: code === 0x73,
    information,
  };
}

function streamFlags(flags: number): { filemark: boolean; eom: boolean; ili: boolean } {
  return { filemark: (flags & 0x80) !== 0, eom: (flags & 0x40) !== 0, ili: (flags & 0x20) !== 0 };
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
    case "checkCondition": {
      const { key, asc, ascq, deferred, filemark, eom, ili } = outcome.sense;
      const hex = (value: number) => value.toString(16).padStart(2, "0");
      const flags = [deferred && "deferred", filemark && "filemark", eom && "EOM", ili && "ILI"];
      return [`sense ${key.toString(16)}/${hex(asc)}/${hex(ascq)}`, ...flags.filter(Boolean)].join(" ");
    }
  }
}
