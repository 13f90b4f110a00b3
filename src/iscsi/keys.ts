/** @module The text keys of RFC 7143 §13 as a table: how each is negotiated, its range and default. */

/** What a session works with once login is done. Sizes in bytes, times in seconds. */
export interface SessionParameters {
  headerDigest: "None" | "CRC32C";
  dataDigest: "None" | "CRC32C";
  maxConnections: number;
  initialR2T: boolean;
  immediateData: boolean;
  /** Largest data segment that the peer takes (its declaration). */
  peerSegmentBytes: number;
  /** Largest data segment that we take (our declaration; 8192 until declared). */
  ownSegmentBytes: number;
  maxBurstBytes: number;
  firstBurstBytes: number;
  time2WaitSeconds: number;
  time2RetainSeconds: number;
  maxOutstandingR2T: number;
  dataPDUInOrder: boolean;
  dataSequenceInOrder: boolean;
  errorRecoveryLevel: number;
  taskReporting: string;
  protocolLevel: number;
}

/** Values in force where a key is never negotiated (RFC 7143 §13). */
export function defaultParameters(): SessionParameters {
  return {
    headerDigest: "None",
    dataDigest: "None",
    maxConnections: 1,
    initialR2T: true,
    immediateData: true,
    peerSegmentBytes: 8192,
    ownSegmentBytes: 8192,
    maxBurstBytes: 262144,
    firstBurstBytes: 65536,
    time2WaitSeconds: 2,
    time2RetainSeconds: 20,
    maxOutstandingR2T: 1,
    dataPDUInOrder: true,
    dataSequenceInOrder: true,
    errorRecoveryLevel: 0,
    taskReporting: "RFC3720",
    protocolLevel: 1,
  };
}

type NumberField =
  | "maxConnections"
  | "maxBurstBytes"
  | "firstBurstBytes"
  | "time2WaitSeconds"
  | "time2RetainSeconds"
  | "maxOutstandingR2T"
  | "errorRecoveryLevel"
  | "protocolLevel";
type BooleanField = "initialR2T" | "immediateData" | "dataPDUInOrder" | "dataSequenceInOrder";

interface Scope {
  /** Meaningless in a discovery session: answered with Irrelevant. */
  readonly notInDiscovery?: true;
}

export type KeyRule = Scope &
  (
    | {
        readonly kind: "min" | "max";
        readonly field: NumberField;
        readonly low: number;
        readonly high: number;
      }
    | { readonly kind: "and" | "or"; readonly field: BooleanField }
    /** The first of the offered list that the responder has. */
    | { readonly kind: "digest"; readonly field: "headerDigest" | "dataDigest" }
    | { readonly kind: "auth" }
    | { readonly kind: "taskReporting" }
    /** Largest data segment: each side declares its own. */
    | { readonly kind: "segment"; readonly low: number; readonly high: number }
    /** Names and the like: stated, never answered. */
    | { readonly kind: "declaration"; readonly by: "initiator" | "target" }
    /** Keys of RFC 3720 that RFC 7143 §13.25 made obsolete: a fixed answer. */
    | { readonly kind: "obsolete"; readonly answer: string }
  );

const SEGMENT_LOW = 512;
const SEGMENT_HIGH = 16777215;
const session = { notInDiscovery: true } as const;

export const KEYS: Readonly<Record<string, KeyRule>> = {
  InitiatorName: { kind: "declaration", by: "initiator" },
  InitiatorAlias: { kind: "declaration", by: "initiator" },
  TargetName: { kind: "declaration", by: "initiator" },
  TargetAlias: { kind: "declaration", by: "target" },
  TargetAddress: { kind: "declaration", by: "target" },
  TargetPortalGroupTag: { kind: "declaration", by: "target" },
  SessionType: { kind: "declaration", by: "initiator" },
  AuthMethod: { kind: "auth" },
  HeaderDigest: { kind: "digest", field: "headerDigest" },
  DataDigest: { kind: "digest", field: "dataDigest" },
  MaxConnections: { kind: "min", field: "maxConnections", low: 1, high: 65535, ...session },
  InitialR2T: { kind: "or", field: "initialR2T", ...session },
  ImmediateData: { kind: "and", field: "immediateData", ...session },
  MaxRecvDataSegmentLength: { kind: "segment", low: SEGMENT_LOW, high: SEGMENT_HIGH },
  MaxBurstLength: { kind: "min", field: "maxBurstBytes", low: SEGMENT_LOW, high: SEGMENT_HIGH, ...session },
  FirstBurstLength: {
    kind: "min",
    field: "firstBurstBytes",
    low: SEGMENT_LOW,
    high: SEGMENT_HIGH,
    ...session,
  },
  DefaultTime2Wait: { kind: "max", field: "time2WaitSeconds", low: 0, high: 3600 },
  DefaultTime2Retain: { kind: "min", field: "time2RetainSeconds", low: 0, high: 3600 },
  MaxOutstandingR2T: { kind: "min", field: "maxOutstandingR2T", low: 1, high: 65535, ...session },
  DataPDUInOrder: { kind: "or", field: "dataPDUInOrder", ...session },
  DataSequenceInOrder: { kind: "or", field: "dataSequenceInOrder", ...session },
  ErrorRecoveryLevel: { kind: "min", field: "errorRecoveryLevel", low: 0, high: 2 },
  TaskReporting: { kind: "taskReporting", ...session },
  iSCSIProtocolLevel: { kind: "min", field: "protocolLevel", low: 0, high: 31 },
  IFMarker: { kind: "obsolete", answer: "No" },
  OFMarker: { kind: "obsolete", answer: "No" },
  IFMarkInt: { kind: "obsolete", answer: "Reject" },
  OFMarkInt: { kind: "obsolete", answer: "Reject" },
};

/** Answers that are not values. */
export const NOT_UNDERSTOOD = "NotUnderstood";
export const IRRELEVANT = "Irrelevant";
export const REJECT = "Reject";
export const NONE = "None";

/** Numerical values are decimal or 0x hexadecimal (RFC 7143 §6.1); -1 for anything else. */
export function parseNumber(value: string): number {
  if (/^(0|[1-9][0-9]{0,9})$/.test(value)) return Number(value);
  if (/^0[xX][0-9a-fA-F]{1,8}$/.test(value)) return Number.parseInt(value.slice(2), 16);
  return -1;
}

/** "Yes" and "No", nothing else; null for anything else. */
export function parseBoolean(value: string): boolean | null {
  return value === "Yes" ? true : value === "No" ? false : null;
}

/** iSCSI names (RFC 7143 §4.2.7): iqn., eui., naa.; compared as given, at most 223 bytes. */
export function isIscsiName(name: string): boolean {
  if (name.length > 223) return false;
  return (
    /^iqn\.[0-9]{4}-[0-9]{2}\.[^\s\0,]+$/i.test(name) ||
    /^eui\.[0-9A-Fa-f]{16}$/.test(name) ||
    /^naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})$/.test(name)
  );
}
