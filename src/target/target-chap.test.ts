import { afterEach, describe, expect, test } from "bun:test";
import { type ChapAccess, ChapInitiator } from "../iscsi/chap.ts";
import * as pdu from "../iscsi/pdu.ts";
import type { TextPair } from "../iscsi/text.ts";
import { INITIATOR, type Received, TARGET, type TestClient } from "./testing/client.ts";
import { closeStarted, start } from "./testing/started.ts";

afterEach(closeStarted);

const bytes = (text: string) => new TextEncoder().encode(text);
const host = { user: "host", secret: bytes("correct horse battery") };
const library = { user: "library", secret: bytes("staple and then some") };
const chap: ChapAccess = { entries: [{ initiator: INITIATOR, ...host }], mutual: library };
const statusOf = (received: Received): number => received.field(pdu.AT_LOGIN_STATUS) >>> 16;
const names: TextPair[] = [
  ["InitiatorName", INITIATOR],
  ["TargetName", TARGET],
  ["SessionType", "Normal"],
];

/** Security stage up to the target's word on our response. */
function authenticate(client: TestClient, initiator: ChapInitiator): Received {
  const first = client.loginRequest({}, true, 0, 1, [...names, ["AuthMethod", "CHAP,None"]]);
  expect([first.text.AuthMethod, first.flags & pdu.FLAG_TRANSIT]).toEqual(["CHAP", 0]);
  const challenge = client.loginRequest({}, false, 0, 0, initiator.offer());
  const step = initiator.step(Object.entries(challenge.text));
  if (step.kind === "failed") throw new Error(step.cause);
  return client.loginRequest({}, true, 0, 1, step.reply);
}

describe("RED-01: CHAP at the target (RFC 7143 §9.2, §12.1)", () => {
  test("one-way and mutual: a session, with None out of the question", () => {
    for (const mutual of [null, library]) {
      const { connect, target } = start({ chap });
      const client = connect();
      const initiator = new ChapInitiator(host, mutual);
      const proof = authenticate(client, initiator);
      expect([statusOf(proof), proof.flags & 0x8f]).toEqual([0, 0x81]);
      expect(initiator.step(Object.entries(proof.text)).kind).toBe("passed");
      expect(initiator.passed).toBe(true);
      expect(statusOf(client.loginRequest({}, true, 1, 3, [["InitialR2T", "No"]]))).toBe(0);
      client.cmdSN = 100;
      expect(target.sessions()).toMatchObject([{ initiatorName: INITIATOR }]);
      client.nop();
    }
  });

  test("§11.13.5: None, another initiator, a wrong secret, the stage passed over: 0201, and the connection ends", () => {
    const refusedBy = (attempt: (client: TestClient) => Received): void => {
      const { connect } = start({ chap });
      const client = connect();
      expect(statusOf(attempt(client))).toBe(0x0201);
      client.expectClosed();
    };
    refusedBy((client) => client.loginRequest({}, true, 0, 1, [...names, ["AuthMethod", "None"]]));
    refusedBy((client) => client.loginRequest({}, true, 0, 1, names));
    refusedBy((client) => client.loginRequest({}, true, 0, 3, names));
    refusedBy((client) => client.loginRequest({}, true, 1, 3, names));
    refusedBy((client) => {
      const other: TextPair[] = [["InitiatorName", `${INITIATOR}2`], ...names.slice(1)];
      return client.loginRequest({}, true, 0, 1, [...other, ["AuthMethod", "CHAP"]]);
    });
    refusedBy((client) => authenticate(client, new ChapInitiator({ ...host, secret: library.secret }, null)));
    refusedBy((client) => {
      client.loginRequest({}, true, 0, 1, [...names, ["AuthMethod", "CHAP"]]);
      return client.loginRequest({}, true, 0, 1, [["CHAP_A", "99"]]);
    });
  });

  test("discovery asks for the same proof", () => {
    const { connect } = start({ chap });
    const client = connect();
    const pairs: TextPair[] = [
      ["InitiatorName", INITIATOR],
      ["SessionType", "Discovery"],
    ];
    expect(statusOf(client.loginRequest({}, true, 1, 3, pairs))).toBe(0x0201);
  });
});
