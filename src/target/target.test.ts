import { ptr } from "bun:ffi";
import { afterEach, describe, expect, test } from "bun:test";
import { checked, libc } from "../base/ffi.ts";
import * as pdu from "../iscsi/pdu.ts";
import * as requests from "../iscsi/requests.ts";
import { formatText } from "../iscsi/text.ts";
import { PortalError, Target, type TargetOptions } from "./front-loop.ts";
import { openPortal } from "./portal.ts";
import { COMMANDS_MAX } from "./tasks.ts";
import { INITIATOR, TARGET, TestClient } from "./testing/client.ts";
import { cdbOf, FAIL, FakeUnit, HANG, READ, TEST_UNIT_READY, WRITE } from "./testing/fake-unit.ts";

const opened: { close(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0).reverse()) each.close();
});

function start(options: Partial<TargetOptions> = {}): {
  target: Target;
  unit: FakeUnit;
  connect: () => TestClient;
} {
  const unit = new FakeUnit();
  const units = new Map([[0, unit]]);
  const target = new Target({ iqn: TARGET, address: "127.0.0.1", port: 0, units, ...options });
  opened.push({ close: () => target.stop() });
  const connect = (): TestClient => {
    const client = new TestClient(target);
    opened.push(client);
    return client;
  };
  return { target, unit, connect };
}

function session(options: Partial<TargetOptions> = {}) {
  const started = start(options);
  const client = started.connect();
  expect(client.login().field(pdu.AT_LOGIN_STATUS) >>> 16).toBe(0);
  return { ...started, client };
}

function pattern(bytes: number, seed = 1): Uint8Array {
  const data = new Uint8Array(bytes);
  for (let index = 0; index < bytes; index++) data[index] = (index * 31 + seed * 7 + (index >>> 8)) & 255;
  return data;
}

const equal = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

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

describe("RED-02: data-out goes to its place", () => {
  test("§11.3: immediate data, all of it", () => {
    const { client, unit, target } = session();
    for (const bytes of [4, 5, 6, 7, 65536, 262144]) {
      const data = pattern(bytes, bytes);
      const itt = client.command(cdbOf(WRITE, bytes), "write", bytes, { immediateData: data });
      const answer = client.next();
      expect([answer.opcode, answer.status, answer.field(pdu.AT_ITT), answer.residual]).toEqual([
        0x21,
        0,
        itt,
        "",
      ]);
      expect(equal(unit.data(unit.written.length - 1), data)).toBe(true);
    }
    expect(target.stats.commands).toBe(6);
    expect(target.stats.bytesOut).toBe(22 + 65536 + 262144);
  });

  test("§11.7: immediate, unsolicited and solicited data in one write, R2Ts of at most MaxBurstLength", () => {
    const { client, unit } = session();
    const bytes = 3_000_001;
    const data = pattern(bytes);
    const itt = client.command(cdbOf(WRITE, bytes), "write", bytes, {
      immediateData: data.subarray(0, 1000),
      final: false,
    });
    client.dataOut(itt, pdu.TAG_NONE, 0, 1000, data.subarray(1000, 100_001), false);
    client.dataOut(itt, pdu.TAG_NONE, 1, 100_001, data.subarray(100_001, 262_144), true);
    let at = 262_144;
    for (let count = 0; at < bytes; count++) {
      const r2t = client.next();
      expect([r2t.opcode, r2t.field(pdu.AT_R2T_SN), r2t.field(pdu.AT_R2T_OFFSET)]).toEqual([
        pdu.OP_R2T,
        count,
        at,
      ]);
      const asked = r2t.field(pdu.AT_R2T_BYTES);
      expect(asked).toBe(Math.min(1048576, bytes - at));
      const middle = at + Math.min(asked, 500_000);
      const ttt = r2t.field(pdu.AT_TTT);
      client.dataOut(itt, ttt, 0, at, data.subarray(at, middle), middle === at + asked);
      if (middle < at + asked) client.dataOut(itt, ttt, 1, middle, data.subarray(middle, at + asked), true);
      at += asked;
    }
    const answer = client.next();
    expect([answer.opcode, answer.status, answer.residual]).toEqual([0x21, 0, ""]);
    expect(equal(unit.data(0), data)).toBe(true);
  });

  test("RED-17b: no R2T before there is a place; NOPs and other commands are answered meanwhile", () => {
    const { client, unit } = session();
    unit.placeAtOnce = false;
    const data = pattern(600_000);
    const itt = client.command(cdbOf(WRITE, 600_000), "write", 600_000);
    expect(client.poll(20)).toBeUndefined();
    client.nop();
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.next().status).toBe(0);
    unit.placeAll();
    const r2t = client.next();
    expect(r2t.field(pdu.AT_R2T_BYTES)).toBe(600_000);
    client.dataOut(itt, r2t.field(pdu.AT_TTT), 0, 0, data, true);
    expect(client.next().status).toBe(0);
    expect(equal(unit.data(0), data)).toBe(true);
  });

  test("unsolicited data without a place is spilled and copied, in the middle of a PDU too", () => {
    const { client, unit, target } = session();
    unit.placeAtOnce = false;
    const data = pattern(400_000);
    const itt = client.command(cdbOf(WRITE, 400_000), "write", 400_000, {
      immediateData: data.subarray(0, 50_001),
      final: false,
    });
    client.nop();
    const whole = new Uint8Array(48 + 100_000);
    requests.encodeDataOut(new DataView(whole.buffer), 0, true, 0, itt, pdu.TAG_NONE, 0, 0, 50_001, 100_000);
    whole.set(data.subarray(50_001, 150_001), 48);
    client.sendBytes(whole.subarray(0, 30_000));
    target.pollOnce(10);
    unit.placeAll();
    target.pollOnce(10);
    client.sendBytes(whole.subarray(30_000));
    const r2t = client.next();
    expect([r2t.field(pdu.AT_R2T_OFFSET), r2t.field(pdu.AT_R2T_BYTES)]).toEqual([150_001, 249_999]);
    client.dataOut(itt, r2t.field(pdu.AT_TTT), 0, 150_001, data.subarray(150_001), true);
    expect(client.next().status).toBe(0);
    expect(equal(unit.data(0), data)).toBe(true);
  });

  test("a full window of writes without a place: all spilled, then all written", () => {
    const { client, unit } = session();
    unit.placeAtOnce = false;
    const data = Array.from({ length: COMMANDS_MAX }, (_, index) => pattern(262144, index));
    for (const each of data) client.command(cdbOf(WRITE, 262144), "write", 262144, { immediateData: each });
    client.nop();
    expect(client.maxCmdSN).toBe(client.cmdSN - 1);
    unit.placeAll();
    for (let index = 0; index < COMMANDS_MAX; index++) expect(client.next().status).toBe(0);
    for (const [index, each] of data.entries()) expect(equal(unit.data(index), each)).toBe(true);
    expect(client.maxCmdSN - client.cmdSN + 1).toBe(COMMANDS_MAX);
  });

  test("InitialR2T=Yes, ImmediateData=No: everything is asked for", () => {
    const { connect, unit } = start();
    const client = connect();
    client.login({
      keys: [
        ["InitialR2T", "Yes"],
        ["ImmediateData", "No"],
      ],
    });
    const data = pattern(1000);
    const itt = client.command(cdbOf(WRITE, 1000), "write", 1000);
    const r2t = client.next();
    client.dataOut(itt, r2t.field(pdu.AT_TTT), 0, 0, data, true);
    expect(client.next().status).toBe(0);
    expect(equal(unit.data(0), data)).toBe(true);
    client.command(cdbOf(WRITE, 8), "write", 8, { immediateData: pattern(8) });
    expect(client.next().opcode).toBe(pdu.OP_REJECT);
    client.command(cdbOf(WRITE, 8), "write", 8, { final: false });
    expect(client.next().opcode).toBe(pdu.OP_REJECT);
  });

  test("a write that fails at once is answered after the data that it was promised", () => {
    const { client } = session();
    const itt = client.command(cdbOf(FAIL, 0), "write", 4000, { immediateData: pattern(1000), final: false });
    expect(client.poll(20)).toBeUndefined();
    client.dataOut(itt, pdu.TAG_NONE, 0, 1000, pattern(3000), true);
    const answer = client.next();
    expect([answer.status, answer.residual]).toEqual([2, "underflow 4000"]);
    expect([...answer.data.subarray(0, 5)]).toEqual([0, 18, 0x70, 0, 5]);
    expect(answer.data).toHaveLength(20);
  });
});

describe("RFC 7143 §11.4.5: residual counts", () => {
  const writes: [number, number, number, string][] = [
    [1000, 1000, 1000, ""],
    [1000, 600, 600, "overflow 400"],
    [1000, 1500, 1000, "underflow 500"],
    [1000, 0, 0, "overflow 1000"],
    [0, 1000, 0, "underflow 1000"],
  ];
  for (const [wanted, expected, received, residual] of writes) {
    for (const how of ["immediate", "R2T"]) {
      test(`WRITE of ${wanted} with EDTL ${expected} by ${how}: ${received} bytes, ${residual || "none"}`, () => {
        const { client, unit } = session();
        const data = pattern(expected);
        if (how === "immediate") {
          client.command(cdbOf(WRITE, wanted), "write", expected, { immediateData: data });
        } else {
          const itt = client.command(cdbOf(WRITE, wanted), "write", expected);
          if (received > 0) {
            const r2t = client.next();
            expect(r2t.field(pdu.AT_R2T_BYTES)).toBe(received);
            client.dataOut(itt, r2t.field(pdu.AT_TTT), 0, 0, data.subarray(0, received), true);
          }
        }
        const answer = client.next();
        expect([answer.status, answer.residual]).toEqual([0, residual]);
        expect(equal(unit.data(0), data.subarray(0, received))).toBe(true);
      });
    }
  }

  const reads: [number, number, string][] = [
    [1000, 1000, ""],
    [1000, 600, "overflow 400"],
    [1000, 1500, "underflow 500"],
    [0, 1500, "underflow 1500"],
    [1000, 0, "overflow 1000"],
  ];
  for (const [real, expected, residual] of reads) {
    test(`READ of ${real} with EDTL ${expected}: ${residual || "none"}`, () => {
      const { client, unit } = session();
      unit.memory.bytes.set(pattern(real));
      client.command(cdbOf(READ, real), expected === 0 ? "none" : "read", expected);
      const answer = client.next();
      const bytes = Math.min(real, expected);
      expect(answer.opcode).toBe(bytes > 0 ? pdu.OP_DATA_IN : pdu.OP_SCSI_RESPONSE);
      expect([answer.status, answer.residual]).toEqual([0, residual]);
      expect(equal(answer.data, pattern(real).subarray(0, bytes))).toBe(true);
      expect(unit.dataTaken).toBe(1);
    });
  }
});

describe("RED-01: data-in", () => {
  test("§11.7: in PDUs of the initiator's size, F at each burst's end, status in the last", () => {
    const { connect, unit } = start();
    const client = connect();
    client.login({
      keys: [
        ["MaxRecvDataSegmentLength", "65536"],
        ["MaxBurstLength", "131072"],
      ],
    });
    const data = pattern(300_001);
    unit.memory.bytes.set(data);
    client.command(cdbOf(READ, 300_001), "read", 300_001);
    let at = 0;
    for (let count = 0; at < data.length; count++) {
      const received = client.next();
      expect([received.field(pdu.AT_DATA_SN), received.field(pdu.AT_BUFFER_OFFSET)]).toEqual([count, at]);
      expect(equal(received.data, data.subarray(at, at + received.data.length))).toBe(true);
      at += received.data.length;
      const last = at === data.length;
      expect(received.flags).toBe(last ? 0x81 : at % 131072 === 0 ? 0x80 : 0);
    }
    expect(client.poll(10)).toBeUndefined();
  });

  test("a slow reader: partial sends go on at POLLOUT, and the buffer is kept until all is sent", () => {
    const { target, unit } = start();
    const client = new TestClient(target, 4096);
    opened.push(client);
    client.login();
    const data = pattern(8_000_000);
    unit.memory.bytes.set(data);
    client.command(cdbOf(READ, 8_000_000), "read", 8_000_000);
    client.command(cdbOf(READ, 100), "read", 100);
    for (let turn = 0; turn < 20; turn++) target.pollOnce(0);
    expect(unit.dataTaken).toBe(0);
    const parts: Uint8Array[] = [];
    for (let bytes = 0; bytes < data.length + 100; ) {
      const received = client.next();
      parts.push(received.data);
      bytes += received.data.length;
    }
    expect(unit.dataTaken).toBe(2);
    expect(equal(Buffer.concat(parts), Buffer.concat([data, data.subarray(0, 100)]))).toBe(true);
  });
});

describe("the command window (RFC 7143 §4.2.2.1)", () => {
  test("RED-17: closed, it still answers NOPs and immediate commands; commands beyond it are ignored", () => {
    const { client, unit } = session();
    for (let index = 0; index < COMMANDS_MAX; index++) client.command(cdbOf(HANG, 0), "none", 0);
    client.nop();
    expect(client.maxCmdSN).toBe(client.cmdSN - 1);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.poll(20)).toBeUndefined();
    client.cmdSN--;
    const pinged = client.nop(pattern(777));
    expect(equal(pinged.data, pattern(777))).toBe(true);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0, { immediate: true });
    expect(client.next().status).toBe(0);
    expect(unit.unfinished).toHaveLength(COMMANDS_MAX);
    for (const task of unit.unfinished.splice(0)) task.complete(0);
    for (let index = 0; index < COMMANDS_MAX; index++) expect(client.next().status).toBe(0);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.next().status).toBe(0);
  });

  test("a CmdSN below the window is ignored; a missing one ends the session at error recovery level 0", () => {
    const { client } = session();
    client.cmdSN = (client.cmdSN - 1) >>> 0;
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.poll(20)).toBeUndefined();
    client.nop();
    client.cmdSN += 3;
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    client.expectClosed();
  });

  test("too many immediate commands: Reject, reason 06h", () => {
    const { client } = session();
    for (let index = 0; index < COMMANDS_MAX; index++) client.command(cdbOf(HANG, 0), "none", 0);
    for (let index = 0; index < 8; index++) client.command(cdbOf(HANG, 0), "none", 0, { immediate: true });
    client.command(cdbOf(HANG, 0), "none", 0, { immediate: true });
    const received = client.next();
    expect([received.opcode, received.response]).toEqual([pdu.OP_REJECT, pdu.REJECT_TOO_MANY_IMMEDIATE]);
  });

  test("an ITT in use: Reject, reason 07h", () => {
    const { client } = session();
    client.command(cdbOf(HANG, 0), "none", 0);
    client.itt--;
    client.command(cdbOf(HANG, 0), "none", 0);
    expect(client.next().response).toBe(pdu.REJECT_TASK_IN_PROGRESS);
  });
});

describe("task management (RFC 7143 §11.5)", () => {
  test("ABORT TASK: no answer to the task, its data still on the way is swallowed", () => {
    const { client, unit } = session();
    const itt = client.command(cdbOf(WRITE, 2000), "write", 2000);
    const r2t = client.next();
    const response = client.manage(pdu.TMF_ABORT_TASK, itt);
    expect([response.opcode, response.response]).toEqual([pdu.OP_TASK_MANAGEMENT_RESPONSE, pdu.TMF_COMPLETE]);
    client.dataOut(itt, r2t.field(pdu.AT_TTT), 0, 0, pattern(2000), true);
    expect(unit.memory.bytes[1 << 20]).toBe(0);
    client.nop();
    expect(unit.aborted).toHaveLength(1);
    expect(client.manage(pdu.TMF_ABORT_TASK, itt).response).toBe(pdu.TMF_NO_TASK);
    expect(unit.memory.bytes[(1 << 20) + 5]).toBe(0);
  });

  test("a port that finishes an aborted task later keeps its place in the pool until then", () => {
    const { client, unit, target } = session();
    unit.abortAtOnce = false;
    const itt = client.command(cdbOf(HANG, 0), "none", 0);
    expect(client.manage(pdu.TMF_ABORT_TASK, itt).response).toBe(pdu.TMF_COMPLETE);
    expect(target.sessions()[0]?.openTasks).toBe(1);
    unit.aborted[0]?.complete(0);
    client.nop();
    expect(target.sessions()[0]?.openTasks).toBe(0);
  });

  test("sets and resets reach every session; what is not there is told", () => {
    const { client, connect, unit } = session();
    const other = connect();
    other.login({ isid: 9 });
    const hang = (): void => {
      client.command(cdbOf(HANG, 0), "none", 0);
      other.command(cdbOf(HANG, 0), "none", 0);
      client.nop();
      other.nop();
    };
    hang();
    expect(client.manage(pdu.TMF_ABORT_TASK_SET).response).toBe(pdu.TMF_COMPLETE);
    expect(unit.aborted).toHaveLength(1);
    expect(client.manage(pdu.TMF_CLEAR_TASK_SET).response).toBe(pdu.TMF_COMPLETE);
    expect(unit.aborted).toHaveLength(2);
    hang();
    expect(client.manage(pdu.TMF_LOGICAL_UNIT_RESET).response).toBe(pdu.TMF_COMPLETE);
    expect(unit.aborted).toHaveLength(4);
    expect(unit.resets).toEqual(["lun"]);
    expect(client.manage(pdu.TMF_LOGICAL_UNIT_RESET, pdu.TAG_NONE, 5).response).toBe(pdu.TMF_NO_LUN);
    expect(client.manage(pdu.TMF_TARGET_WARM_RESET).response).toBe(pdu.TMF_COMPLETE);
    expect(unit.resets).toEqual(["lun", "target"]);
    expect(client.manage(pdu.TMF_TASK_REASSIGN).response).toBe(pdu.TMF_REASSIGN_NOT_SUPPORTED);
    expect(client.manage(pdu.TMF_CLEAR_ACA).response).toBe(pdu.TMF_NOT_SUPPORTED);
    expect(client.manage(pdu.TMF_TARGET_COLD_RESET).response).toBe(pdu.TMF_COMPLETE);
    client.expectClosed();
    other.expectClosed();
  });
});

describe("ends and errors", () => {
  test("§11.14: logout of the session; a wrong CID; recovery", () => {
    const { client, target, unit } = session();
    const logout = (reason: number, cid: number) => {
      client.send((view) => requests.encodeLogout(view, 0, true, reason, ++client.itt, cid, client.cmdSN, 0));
      return client.next();
    };
    expect(logout(pdu.LOGOUT_CONNECTION, 7).response).toBe(pdu.LOGOUT_NO_CID);
    expect(logout(pdu.LOGOUT_RECOVERY, 0).response).toBe(pdu.LOGOUT_RECOVERY_NOT_SUPPORTED);
    client.command(cdbOf(HANG, 0), "none", 0);
    expect(logout(pdu.LOGOUT_SESSION, 0).response).toBe(pdu.LOGOUT_DONE);
    client.expectClosed();
    expect(unit.aborted).toHaveLength(1);
    expect(unit.lost).toHaveLength(1);
    expect(target.sessions()).toEqual([]);
  });

  test("a connection that drops with half-received writes: abort for each, then nexusLost; the place stays as it was", () => {
    const { client, unit, target } = session();
    unit.placeAtOnce = false;
    client.command(cdbOf(WRITE, 5000), "write", 5000, { immediateData: pattern(2000), final: false });
    unit.placeAtOnce = true;
    client.command(cdbOf(WRITE, 900_000), "write", 900_000, { immediateData: pattern(1000), final: true });
    client.next();
    unit.abortAtOnce = false;
    client.close();
    target.pollOnce(10);
    target.pollOnce(10);
    expect(unit.aborted).toHaveLength(2);
    expect(unit.lost).toHaveLength(1);
    const [first] = unit.aborted;
    if (first) unit.place(first);
    target.pollOnce(0);
    expect(unit.written).toHaveLength(0);
    for (const task of unit.aborted) task.complete(0);
    target.stop();
    expect(target.stopped).toBe(true);
  });

  test("SNACK, an unknown opcode, a login in full feature phase, both directions: Reject with the header in it", () => {
    const { client } = session();
    client.send((view) => requests.encodeSnack(view, 0, 0, 0, 1, 2, 0, 0, 0));
    const snack = client.next();
    expect([snack.opcode, snack.response, snack.data[0]]).toEqual([
      pdu.OP_REJECT,
      pdu.REJECT_SNACK,
      pdu.OP_SNACK,
    ]);
    client.send((view) => pdu.clearHeader(view, 0, 0x1c, 0x80));
    expect(client.next().response).toBe(pdu.REJECT_NOT_SUPPORTED);
    client.send((view) => requests.encodeLogin(view, 0, true, false, 1, 3, 0, 0, 0, 1, 0, 1, 1, 0));
    expect(client.next().response).toBe(pdu.REJECT_PROTOCOL_ERROR);
    client.send((view) => {
      requests.encodeScsiCommand(view, 0, 0xe1, 0, 5, 4, client.cmdSN++, 0, Uint8Array.of(WRITE), 0);
    });
    expect(client.next().response).toBe(pdu.REJECT_NOT_SUPPORTED);
    client.nop();
  });

  test("§11.2.2: a CDB of more than 16 bytes is an invalid operation code; a torn AHS is rejected", () => {
    const { client } = session();
    client.command([0x7f], "none", 0, { ahs: Uint8Array.of(0, 17, 1, 0, ...new Array(16).fill(9)) });
    const answer = client.next();
    expect([answer.status, answer.data[14]]).toEqual([2, 0x20]);
    client.command([0x7f], "none", 0, { ahs: Uint8Array.of(0xff, 0xff, 1, 0) });
    expect(client.next().response).toBe(pdu.REJECT_INVALID_FIELD);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.next().status).toBe(0);
  });

  const broken: [string, (client: TestClient, itt: number, ttt: number) => void][] = [
    ["wrong TTT", (client, itt, ttt) => client.dataOut(itt, ttt + 256, 0, 0, pattern(100), true)],
    ["too much", (client, itt, ttt) => client.dataOut(itt, ttt, 0, 0, pattern(1001), true)],
    ["unsolicited after F", (client, itt) => client.dataOut(itt, pdu.TAG_NONE, 0, 0, pattern(10), true)],
    [
      "a segment longer than declared",
      (client, itt, ttt) =>
        client.send((view) => requests.encodeDataOut(view, 0, true, 0, itt, ttt, 0, 0, 0, 0xffffff)),
    ],
  ];
  for (const [what, send] of broken) {
    test(`§11.7: Data-Out with ${what} ends the connection`, () => {
      const { client, unit } = session();
      const itt = client.command(cdbOf(WRITE, 1000), "write", 1000);
      send(client, itt, client.next().field(pdu.AT_TTT));
      client.expectClosed();
      expect(unit.aborted).toHaveLength(1);
      expect(unit.memory.bytes[1 << 20]).toBe(0);
    });
  }

  const unordered: [string, number, (client: TestClient, itt: number, ttt: number) => void][] = [
    ["wrong offset", 0x47, (client, itt, ttt) => client.dataOut(itt, ttt, 0, 4, pattern(1000), true)],
    ["wrong DataSN", 0x47, (client, itt, ttt) => client.dataOut(itt, ttt, 7, 0, pattern(1000), true)],
    ["too little with F", 0x0c, (client, itt, ttt) => client.dataOut(itt, ttt, 0, 0, pattern(10), true)],
  ];
  for (const [what, asc, send] of unordered) {
    for (const late of [false, true]) {
      test(`§7.8: Data-Out with ${what} fails the command${late ? ", once its port is done with it" : ""}`, () => {
        const { client, unit, target } = session();
        unit.abortAtOnce = !late;
        const itt = client.command(cdbOf(WRITE, 1000), "write", 1000);
        send(client, itt, client.next().field(pdu.AT_TTT));
        if (late) {
          client.nop();
          unit.aborted[0]?.complete(0);
        }
        const answer = client.next();
        expect([answer.status, answer.data[4], answer.data[14]]).toEqual([2, 0x0b, asc]);
        expect(unit.aborted).toHaveLength(1);
        expect(unit.written).toHaveLength(0);
        expect(target.sessions()[0]?.openTasks).toBe(0);
      });
    }
  }

  test("a LUN that is not there: INQUIRY says so, anything else is LOGICAL UNIT NOT SUPPORTED; REPORT LUNS lists", () => {
    const { client } = session();
    client.command([0x12, 0, 0, 0, 36, 0], "read", 36, { lun: 3 });
    expect(client.next().data[0]).toBe(0x7f);
    client.command([0], "none", 0, { lun: 3 });
    expect([...client.next().data.subarray(14, 16)]).toEqual([0x25, 0]);
    client.command([0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0], "read", 256, { lun: 3 });
    const luns = client.next();
    expect(luns.data).toHaveLength(16);
    expect(luns.residual).toBe("underflow 240");
  });

  test("stop with a grace: an Asynchronous Message asks for logout, then the connection ends", () => {
    const { client, target } = session();
    target.stop(60);
    const message = client.next();
    expect([message.opcode, message.view.getUint8(pdu.AT_ASYNC_EVENT)]).toEqual([pdu.OP_ASYNC_MESSAGE, 1]);
    expect(target.stopped).toBe(false);
    client.expectClosed();
    expect(target.stopped).toBe(true);
  });

  test("an eventfd wakes the loop; places and completions from the callback go on in the same round; stop from there", () => {
    const { client, unit, target } = session();
    unit.placeAtOnce = false;
    unit.completeAtOnce = false;
    const fd = checked(libc.eventfd(0, 0o4000));
    let wakes = 0;
    target.onWake(fd, () => {
      wakes++;
      unit.placeAll();
      for (const task of unit.unfinished.splice(0)) task.complete(0);
      if (wakes === 3) target.stop();
    });
    const wake = (): void => {
      const one = BigUint64Array.of(1n);
      libc.write(fd, Number(ptr(one)), 8);
      target.pollOnce(1000);
    };
    client.command(cdbOf(WRITE, 100), "write", 100, { immediateData: pattern(100) });
    expect(client.poll(20)).toBeUndefined();
    wake();
    expect(unit.written).toHaveLength(1);
    expect(client.poll(20)).toBeUndefined();
    wake();
    expect(client.next().status).toBe(0);
    expect(wakes).toBe(2);
    expect(target.fdCount).toBe(3);
    wake();
    client.expectClosed();
    expect(target.stopped).toBe(true);
    libc.close(fd);
  });

  test("pings beyond what the initiator takes are cut; those that want no answer get none", () => {
    const { connect } = start();
    const client = connect();
    client.login({ keys: [["MaxRecvDataSegmentLength", "512"]] });
    expect(client.nop(pattern(1000)).data).toHaveLength(512);
    client.send((view) => requests.encodeNopOut(view, 0, true, 0, pdu.TAG_NONE, 5, client.cmdSN, 0, 0));
    expect(client.poll(10)).toBeUndefined();
    expect(client.nop(pattern(200_000)).data).toHaveLength(512);
  });
});
