import { afterEach, describe, expect, test } from "bun:test";
import * as pdu from "../iscsi/pdu.ts";
import * as requests from "../iscsi/requests.ts";
import { COMMANDS_MAX } from "./tasks.ts";
import { TestClient } from "./testing/client.ts";
import { cdbOf, FAIL, READ, TEST_UNIT_READY, WRITE } from "./testing/fake-unit.ts";
import { closeStarted, equal, opened, pattern, session, start } from "./testing/started.ts";

afterEach(closeStarted);

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
