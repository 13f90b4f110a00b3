import { afterEach, describe, expect, test } from "bun:test";
import * as pdu from "../iscsi/pdu.ts";
import * as requests from "../iscsi/requests.ts";
import { formatText } from "../iscsi/text.ts";
import { PortalError } from "./front-loop.ts";
import { openPortal } from "./portal.ts";
import { COMMANDS_MAX } from "./tasks.ts";
import { INITIATOR, TARGET, type TestClient } from "./testing/client.ts";
import { cdbOf, HANG, TEST_UNIT_READY } from "./testing/fake-unit.ts";
import { closeStarted, session, start } from "./testing/started.ts";

afterEach(closeStarted);

describe("portal", () => {
  test("a taken port is an error before anything starts", () => {
    const { target } = start();
    const outcome = openPortal("127.0.0.1", target.port);
    expect(outcome).toEqual({
      kind: "failed",
      cause: `iSCSI portal 127.0.0.1:${target.port}: the port is taken by another program`,
    });
    expect(() => start({ port: target.port })).toThrow(PortalError);
    expect(openPortal("no.such.host", 1).kind).toBe("failed");
  });
});

describe("RED-01: login (RFC 7143 §6.3)", () => {
  const statusOf = (received: { field(offset: number): number }): number =>
    received.field(pdu.AT_LOGIN_STATUS) >>> 16;

  test("security, operational, full feature: answers, portal group, TSIH in the last response", () => {
    const { connect, target } = start({ alias: "understudy" });
    const client = connect();
    const first = client.loginRequest({}, true, 0, 1, [
      ["InitiatorName", INITIATOR],
      ["TargetName", TARGET],
      ["SessionType", "Normal"],
      ["AuthMethod", "CHAP,None"],
    ]);
    expect(first.text).toEqual({ AuthMethod: "None", TargetAlias: "understudy", TargetPortalGroupTag: "1" });
    expect(first.flags).toBe(0x81);
    expect(first.view.getUint16(pdu.AT_TSIH)).toBe(0);
    const second = client.loginRequest({}, true, 1, 3, [
      ["HeaderDigest", "None"],
      ["MaxBurstLength", "16776192"],
      ["X-unknown", "1"],
    ]);
    expect(second.text).toEqual({
      HeaderDigest: "None",
      MaxBurstLength: "16776192",
      "X-unknown": "NotUnderstood",
      MaxRecvDataSegmentLength: "1048576",
    });
    expect(second.flags).toBe(0x87);
    expect(second.view.getUint16(pdu.AT_TSIH)).toBe(1);
    expect(client.maxCmdSN - client.targetExpCmdSN + 1).toBe(COMMANDS_MAX);
    expect(target.sessions()).toMatchObject([{ initiatorName: INITIATOR, openTasks: 0, discovery: false }]);
  });

  test("text over several PDUs (C bit)", () => {
    const { connect } = start();
    const client = connect();
    const text = formatText([
      ["InitiatorName", INITIATOR],
      ["TargetName", TARGET],
    ]);
    for (let at = 0; at < text.length; at += 20) {
      const part = text.subarray(at, at + 20);
      const more = at + 20 < text.length;
      client.send((view) => {
        requests.encodeLogin(view, 0, !more, more, 1, 3, 0x00023d00, 1, 0, 1, 0, 1, 1, part.length);
      }, part);
      const received = client.next();
      expect(statusOf(received)).toBe(0);
      expect(received.flags & pdu.FLAG_TRANSIT).toBe(more ? 0 : pdu.FLAG_TRANSIT);
    }
    client.cmdSN = 1;
    client.nop();
  });

  const refusals: [string, number, (client: TestClient) => ReturnType<TestClient["login"]>][] = [
    ["unknown target", 0x0203, (client) => client.login({ targetName: "iqn.2026-01.example:other" })],
    ["only CHAP offered", 0x0201, (client) => client.login({ keys: [["AuthMethod", "CHAP"]] })],
    ["no InitiatorName", 0x0207, (client) => client.loginRequest({}, true, 1, 3, [["TargetName", TARGET]])],
    [
      "no TargetName",
      0x0207,
      (client) => client.loginRequest({}, true, 1, 3, [["InitiatorName", INITIATOR]]),
    ],
    ["bad InitiatorName", 0x0200, (client) => client.login({ name: "me" })],
    ["unknown TSIH", 0x020a, (client) => client.login({ tsih: 77 })],
    ["stage 2", 0x0200, (client) => client.loginRequest({}, true, 1, 2, [["InitiatorName", INITIATOR]])],
    [
      "stage backwards",
      0x0200,
      (client) => client.loginRequest({}, true, 1, 1, [["InitiatorName", INITIATOR]]),
    ],
    ["key twice", 0x0200, (client) => client.login({ keys: [...twice, ...twice] })],
    [
      "unknown session type",
      0x0209,
      (client) =>
        client.loginRequest({}, true, 1, 3, [
          ["InitiatorName", INITIATOR],
          ["SessionType", "Other"],
        ]),
    ],
  ];
  const twice = [["InitialR2T", "No"]] as const;
  for (const [what, status, ask] of refusals) {
    test(`§11.13.5: ${what} -> ${status.toString(16).padStart(4, "0")}, and the connection ends`, () => {
      const { connect, target } = start();
      const client = connect();
      expect(statusOf(ask(client))).toBe(status);
      client.expectClosed();
      expect(target.stats.loginsRefused).toBe(1);
    });
  }

  test("§6.3.1: a second connection in the session: 0206, the same one again: 0208", () => {
    const { connect } = start();
    const client = connect();
    const tsih = client.login({ cid: 3 }).view.getUint16(pdu.AT_TSIH);
    expect(statusOf(connect().login({ tsih, cid: 4 }))).toBe(0x0206);
    expect(statusOf(connect().login({ tsih, cid: 3 }))).toBe(0x0208);
    client.nop();
  });

  test("§6.3.5: the same initiator port logs in again: the old session ends, its tasks are aborted", () => {
    const { client, connect, unit, target } = session();
    client.command(cdbOf(HANG, 0), "none", 0);
    expect(client.poll(20)).toBeUndefined();
    const second = connect();
    expect(statusOf(second.login())).toBe(0);
    client.expectClosed();
    expect(unit.aborted).toHaveLength(1);
    expect(unit.lost).toHaveLength(1);
    expect(target.sessions()).toHaveLength(1);
    const third = connect();
    third.login({ isid: 2 });
    second.nop();
    expect(target.sessions()).toHaveLength(2);
  });

  test("a connection that does not log in is dropped, and so is one that does not speak iSCSI", () => {
    const { connect } = start({ loginTimeoutMs: 30 });
    connect().expectClosed();
    const other = connect();
    other.sendBytes(Buffer.from("GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n"));
    other.expectClosed(20);
  });

  test("no more connections than allowed", () => {
    const { connect } = start({ connectionsMax: 1 });
    const client = connect();
    client.login();
    connect().expectClosed();
    client.nop();
  });
});

describe("RED-01: discovery (RFC 7143 Appendix C)", () => {
  function ask(client: TestClient, value: string) {
    const text = formatText([["SendTargets", value]]);
    client.send((view) => {
      requests.encodeText(
        view,
        0,
        false,
        true,
        false,
        9,
        pdu.TAG_NONE,
        client.cmdSN++,
        client.expStatSN,
        text.length,
      );
    }, text);
    return client.next();
  }

  test("SendTargets=All, by name, unknown name", () => {
    const { connect, target } = start();
    const client = connect();
    const login = client.login({ discovery: true, keys: [["InitialR2T", "No"]] });
    expect(login.text).toEqual({ InitialR2T: "Irrelevant", MaxRecvDataSegmentLength: "1048576" });
    const here = { TargetName: TARGET, TargetAddress: `127.0.0.1:${target.port},1` };
    expect(ask(client, "All").text).toEqual(here);
    expect(ask(client, TARGET).text).toEqual(here);
    expect(ask(client, "iqn.2026-01.example:other").text).toEqual({});
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.next().opcode).toBe(pdu.OP_REJECT);
  });

  test("in a normal session: own target for the empty value, All is refused; behind NAT the announced address", () => {
    const { client } = session({ announcedAddress: "192.0.2.7:3260" });
    expect(ask(client, "").text).toEqual({ TargetName: TARGET, TargetAddress: "192.0.2.7:3260,1" });
    expect(ask(client, "All").text).toEqual({ SendTargets: "Reject" });
  });
});
