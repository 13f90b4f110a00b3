import { describe, expect, test } from "bun:test";
import { isIscsiName, parseNumber } from "./keys.ts";
import {
  authOffer,
  declareSegment,
  negotiation,
  operationalOffers,
  receive,
  redeclareSegment,
  settle,
  TERMS,
  type Terms,
} from "./negotiate.ts";

const terms = (change: Partial<Terms>): Terms => ({ ...TERMS, ...change });

/** The target's answer to one offer. */
function answer(key: string, value: string, own: Partial<Terms> = {}, discovery = false): string | null {
  const target = negotiation("target", terms(own), discovery);
  const received = receive(target, [[key, value]]);
  if (received.kind === "failed") return `failed: ${received.cause}`;
  return received.reply[0]?.[1] ?? null;
}

describe("RFC 7143 §13: the target's answer to each key", () => {
  const rows: [string, string, string | null, Partial<Terms>?][] = [
    ["MaxConnections", "8", "1"],
    ["MaxConnections", "0", "Reject"],
    ["InitialR2T", "No", "No"],
    ["InitialR2T", "Yes", "Yes"],
    ["InitialR2T", "No", "Yes", { initialR2T: true }],
    ["InitialR2T", "yes", "Reject"],
    ["ImmediateData", "Yes", "Yes"],
    ["ImmediateData", "Yes", "No", { immediateData: false }],
    ["ImmediateData", "No", "No"],
    ["MaxBurstLength", "16776192", "16776192"],
    ["MaxBurstLength", "262144", "262144"],
    ["MaxBurstLength", "511", "Reject"],
    ["MaxBurstLength", "16777216", "Reject"],
    ["MaxBurstLength", "0x40000", "262144"],
    ["FirstBurstLength", "65536", "65536"],
    ["FirstBurstLength", "1048576", "262144"],
    ["DefaultTime2Wait", "0", "2"],
    ["DefaultTime2Wait", "5", "5"],
    ["DefaultTime2Retain", "20", "0"],
    ["MaxOutstandingR2T", "16", "1"],
    ["MaxOutstandingR2T", "16", "8", { maxOutstandingR2T: 8 }],
    ["DataPDUInOrder", "No", "Yes"],
    ["DataSequenceInOrder", "No", "Yes"],
    ["ErrorRecoveryLevel", "2", "0"],
    ["ErrorRecoveryLevel", "3", "Reject"],
    ["HeaderDigest", "CRC32C,None", "CRC32C"],
    ["HeaderDigest", "None,CRC32C", "None"],
    ["HeaderDigest", "CRC32C", "Reject", { digests: ["None"] }],
    ["DataDigest", "None,CRC32C", "CRC32C", { digests: ["CRC32C"] }],
    ["AuthMethod", "CHAP,None", "None"],
    ["AuthMethod", "CHAP", "failed: no common AuthMethod in CHAP"],
    ["TaskReporting", "FastAbort,RFC3720", "RFC3720"],
    ["TaskReporting", "FastAbort", "Reject"],
    ["iSCSIProtocolLevel", "2", "1"],
    ["IFMarker", "No", "No"],
    ["OFMarker", "Yes", "No"],
    ["OFMarkInt", "2048", "Reject"],
    ["X-com.example.colour", "blue", "NotUnderstood"],
    ["MaxRecvDataSegmentLength", "65536", null],
    ["MaxRecvDataSegmentLength", "100", "Reject"],
    ["InitiatorAlias", "host", null],
    ["TargetAlias", "host", "failed: TargetAlias is not the peer's to declare"],
    ["constructor", "x", "NotUnderstood"],
  ];
  for (const [key, value, expected, own] of rows) {
    test(`${key}=${value} -> ${expected}${own ? ` with ${JSON.stringify(own)}` : ""}`, () => {
      expect(answer(key, value, own)).toBe(expected);
    });
  }
});

test("RFC 7143 §13: session keys are Irrelevant in a discovery session, wherever SessionType stands", () => {
  const target = negotiation("target");
  const received = receive(target, [
    ["InitialR2T", "No"],
    ["SessionType", "Discovery"],
    ["HeaderDigest", "None"],
  ]);
  expect(received).toEqual({
    kind: "ok",
    reply: [
      ["InitialR2T", "Irrelevant"],
      ["HeaderDigest", "None"],
    ],
  });
});

test("RFC 7143 §6.3: the same key twice fails the login", () => {
  const target = negotiation("target");
  expect(receive(target, [["InitialR2T", "No"]]).kind).toBe("ok");
  expect(receive(target, [["InitialR2T", "No"]]).kind).toBe("failed");
});

test("both ends agree on the same parameters", () => {
  const initiator = negotiation("initiator", terms({ maxBurstBytes: 1000448, segmentBytes: 65536 }));
  const target = negotiation("target");
  const security = receive(target, [["InitiatorName", "iqn.2026-01.example:host"], ...authOffer(initiator)]);
  expect(security).toEqual({ kind: "ok", reply: [["AuthMethod", "None"]] });
  if (security.kind === "ok") expect(receive(initiator, security.reply)).toEqual({ kind: "ok", reply: [] });
  const answers = receive(target, operationalOffers(initiator));
  if (answers.kind !== "ok") throw new Error(answers.cause);
  const segment = declareSegment(target);
  if (segment) answers.reply.push(segment);
  expect(declareSegment(target)).toBeNull();
  expect(receive(initiator, answers.reply)).toEqual({ kind: "ok", reply: [] });
  expect(initiator.pending.size).toBe(0);
  const ours = settle(initiator);
  const theirs = settle(target);
  expect(ours).toEqual({ ...theirs, ownSegmentBytes: 65536, peerSegmentBytes: 1048576 });
  expect(theirs).toMatchObject({
    maxBurstBytes: 1000448,
    firstBurstBytes: 262144,
    initialR2T: false,
    immediateData: true,
    peerSegmentBytes: 65536,
    ownSegmentBytes: 1048576,
    errorRecoveryLevel: 0,
  });
});

test("RFC 7143 §13.14: FirstBurstLength is at most MaxBurstLength", () => {
  const target = negotiation("target");
  receive(target, [
    ["MaxBurstLength", "4096"],
    ["FirstBurstLength", "65536"],
  ]);
  expect(settle(target).firstBurstBytes).toBe(4096);
});

describe("RFC 7143 §6.2: the initiator refuses answers outside of its offer", () => {
  const rows: [string, string, boolean][] = [
    ["MaxBurstLength", "262144", true],
    ["MaxBurstLength", "16777215", false],
    ["InitialR2T", "Yes", true],
    ["ImmediateData", "No", true],
    ["DataPDUInOrder", "No", false],
    ["HeaderDigest", "CRC32C", true],
    ["HeaderDigest", "MD5", false],
    ["DefaultTime2Wait", "1", false],
    ["DefaultTime2Wait", "3", true],
    ["MaxBurstLength", "Reject", true],
    ["ErrorRecoveryLevel", "NotUnderstood", true],
  ];
  for (const [key, value, good] of rows) {
    test(`${key}=${value}`, () => {
      const initiator = negotiation("initiator");
      operationalOffers(initiator);
      expect(receive(initiator, [[key, value]]).kind).toBe(good ? "ok" : "failed");
    });
  }
});

test("RFC 7143 §13.12: MaxRecvDataSegmentLength may be declared anew in full feature phase", () => {
  const { parameters } = negotiation("target");
  expect(redeclareSegment(parameters, "4096")).toBeNull();
  expect(parameters.peerSegmentBytes).toBe(4096);
  expect(redeclareSegment(parameters, "7")).toBe("Reject");
});

test("RFC 7143 §6.1: numbers and names", () => {
  expect(parseNumber("0x1F")).toBe(31);
  expect(parseNumber("12")).toBe(12);
  for (const bad of ["", "-1", "1.5", "1e3", " 1", "0x", "010"]) expect(parseNumber(bad)).toBe(-1);
  expect(isIscsiName("iqn.2026-01.example.understudy:library")).toBe(true);
  expect(isIscsiName("eui.02004567A425678D")).toBe(true);
  expect(isIscsiName("naa.52004567BA64678D")).toBe(true);
  for (const bad of ["", "iqn", "iqn.2026.example", `iqn.2026-01.${"x".repeat(230)}`, "disk"]) {
    expect(isIscsiName(bad)).toBe(false);
  }
});
