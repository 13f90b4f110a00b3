import { expect, test } from "bun:test";
import { type ChapAccess, chapTargetFor } from "../iscsi/chap.ts";
import { KEYS } from "../iscsi/keys.ts";
import { settle, TERMS } from "../iscsi/negotiate.ts";
import { STAGE_FULL_FEATURE } from "../iscsi/pdu.ts";
import { formatText } from "../iscsi/text.ts";
import { type LoginContext, LoginExchange } from "./login.ts";
import { INITIATOR, TARGET } from "./testing/client.ts";

const SEED = 20260102;
/** Three of twenty of all inputs (FUZZ_INPUTS, default 100 000) are login requests. */
const REQUESTS = Math.max(1000, Math.floor(Number(process.env.FUZZ_INPUTS ?? 100_000) * 0.15));

function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const CHAP_KEYS = ["CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"];
const NAMES = [...Object.keys(KEYS), ...CHAP_KEYS, "X-a", "__proto__", "constructor", "lower", ""];
const VALUES = [
  "",
  "Yes",
  "No",
  "None",
  "CRC32C",
  "CRC32C,None",
  "CHAP",
  "CHAP,None",
  "Reject",
  "Irrelevant",
  "NotUnderstood",
  "0",
  "1",
  "5",
  "7,5",
  "-1",
  "0x",
  "0x00",
  `0x${"ab".repeat(1025)}`,
  "0b####",
  "4294967296",
  "16777215",
  "16777216",
  "Discovery",
  "Normal",
  INITIATOR,
  TARGET,
  "\u{1f4fc}",
  "a=b",
  ",".repeat(300),
  "x".repeat(8193),
];

test(`RED-01: ${REQUESTS} random login requests, seed ${SEED}: answers or refusals, no way in without a proof, sane parameters`, () => {
  const random = randomOf(SEED);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const credentials = (user: string, text: string) => ({ user, secret: new TextEncoder().encode(text) });
  const access: ChapAccess = {
    entries: [{ initiator: INITIATOR, ...credentials("host", "correct horse battery") }],
    mutual: credentials("library", "staple and then some"),
  };
  const open: LoginContext = {
    targetName: TARGET,
    targetAlias: "",
    portalGroupTag: 1,
    connectionOf: () => null,
  };
  const closed: LoginContext = {
    ...open,
    terms: { ...TERMS, authMethods: ["CHAP"] },
    authenticator: (method, name) => chapTargetFor(access, method, name),
  };
  const names = (): [string, string][] => [
    ["InitiatorName", INITIATOR],
    ["TargetName", TARGET],
  ];
  const text = (first: boolean): Uint8Array => {
    const pairs: [string, string][] = first && random(20) > 0 ? names() : [];
    if (first && random(2) === 0) pairs.push(["AuthMethod", "CHAP,None"]);
    for (let count = random(6); count > 0; count--) pairs.push([pick(NAMES), pick(VALUES)]);
    const bytes = formatText(pairs);
    if (random(10) === 0)
      for (let count = random(8); count > 0; count--) bytes[random(bytes.length || 1)] = random(256);
    return random(20) === 0 ? bytes.subarray(0, random(bytes.length + 1)) : bytes;
  };
  let sent = 0;
  let letIn = 0;
  for (let logins = 0; sent < REQUESTS; logins++) {
    const guarded = logins % 2 === 0;
    const exchange = new LoginExchange(guarded ? closed : open);
    let stage = random(8) === 0 ? random(4) : random(2);
    for (let turn = 0; turn < 80; turn++) {
      sent++;
      const transit = random(3) > 0;
      const next = random(6) === 0 ? random(4) : stage === 0 ? pick([1, 1, 3]) : STAGE_FULL_FEATURE;
      const answer = exchange.step({
        transit,
        continues: !transit && random(5) === 0,
        currentStage: random(30) === 0 ? random(4) : stage,
        nextStage: next,
        versionMin: random(50) === 0 ? 1 : 0,
        isidHigh: 1,
        isidLow: random(100) === 0 ? 2 : 1,
        tsih: random(100) === 0 ? 1 : 0,
        cid: 0,
        text: text(turn === 0),
      });
      expect(JSON.stringify(answer)).not.toMatch(/correct horse|staple and then/);
      if (answer.status !== 0) break;
      if (answer.transit) stage = answer.nextStage;
      if (!answer.done) continue;
      letIn++;
      if (guarded) throw new Error("let in without a proof");
      const { maxBurstBytes, firstBurstBytes, peerSegmentBytes, ...rest } = settle(exchange.negotiation);
      const sane = maxBurstBytes >= 512 && firstBurstBytes <= maxBurstBytes && peerSegmentBytes >= 512;
      if (!sane || rest.errorRecoveryLevel !== 0 || rest.maxConnections !== 1)
        throw new Error(JSON.stringify(exchange.negotiation.parameters));
      break;
    }
  }
  expect(letIn).toBeGreaterThan(REQUESTS / 200);
}, 300_000);
