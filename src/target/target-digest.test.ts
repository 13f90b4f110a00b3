import { afterEach, describe, expect, test } from "bun:test";
import { digestsOf, openCrc32c } from "../iscsi/digest.ts";
import { defaultParameters } from "../iscsi/keys.ts";
import * as pdu from "../iscsi/pdu.ts";
import type { TestClient } from "./testing/client.ts";
import { cdbOf, FAIL, READ, TEST_UNIT_READY, WRITE } from "./testing/fake-unit.ts";
import { closeStarted, equal, pattern, start } from "./testing/started.ts";

afterEach(closeStarted);

const crc = openCrc32c();
type Choice = "None" | "CRC32C";

function digesting(headerDigest: Choice, dataDigest: Choice) {
  const started = start();
  const client: TestClient = started.connect();
  const answer = client.login({
    keys: [
      ["HeaderDigest", `${headerDigest},None`],
      ["DataDigest", dataDigest],
      ["InitialR2T", "No"],
      ["MaxRecvDataSegmentLength", "65536"],
      ["MaxBurstLength", "262144"],
      ["FirstBurstLength", "65536"],
    ],
  });
  expect([answer.text.HeaderDigest, answer.text.DataDigest]).toEqual([headerDigest, dataDigest]);
  client.digests = digestsOf({ ...defaultParameters(), headerDigest, dataDigest }, () => crc);
  return { ...started, client };
}

function write(client: TestClient, data: Uint8Array): number {
  const itt = client.command(cdbOf(WRITE, data.length), "write", data.length);
  for (;;) {
    const received = client.next();
    if (received.opcode !== pdu.OP_R2T) return received.status;
    const at = received.field(pdu.AT_R2T_OFFSET);
    const end = at + received.field(pdu.AT_R2T_BYTES);
    const ttt = received.field(pdu.AT_TTT);
    for (let from = at, sn = 0; from < end; from += 60_001) {
      const to = Math.min(end, from + 60_001);
      client.dataOut(itt, ttt, sn++, from, data.subarray(from, to), to === end);
    }
  }
}

const MIXES: [Choice, Choice][] = [
  ["CRC32C", "CRC32C"],
  ["CRC32C", "None"],
  ["None", "CRC32C"],
];

describe("RED-01: digests (RFC 7143 §11.2.3, §13.1)", () => {
  test.each(MIXES)("header %s, data %s: writes, reads, sense, pings, AHS", (headerDigest, dataDigest) => {
    const { client, unit } = digesting(headerDigest, dataDigest);
    for (const bytes of [1, 2, 3, 4, 5, 511, 65_536, 300_003]) {
      const data = pattern(bytes, bytes);
      expect(write(client, data)).toBe(0);
      expect(equal(unit.data(unit.written.length - 1), data)).toBe(true);
    }
    for (const bytes of [1, 6, 700, 65_537, 200_001]) {
      client.command(cdbOf(READ, bytes), "read", bytes);
      let got = 0;
      for (let over = false; !over; ) {
        const part = client.next();
        expect(part.opcode).toBe(pdu.OP_DATA_IN);
        expect(equal(part.data, unit.memory.bytes.slice(got, got + part.data.length))).toBe(true);
        got += part.data.length;
        over = (part.flags & pdu.FLAG_STATUS) !== 0;
      }
      expect(got).toBe(bytes);
    }
    client.command(cdbOf(FAIL, 0), "none", 0);
    expect(client.next().data.length).toBeGreaterThan(2);
    for (const bytes of [0, 1, 5, 600, 9000]) {
      const ping = pattern(bytes);
      expect(equal(client.nop(ping).data, ping)).toBe(true);
    }
    const ahs = Uint8Array.of(0, 5, 2, 0, 0, 0, 0, 8);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0, { ahs });
    expect(client.next().status).toBe(0);
    const data = pattern(5);
    client.command(cdbOf(WRITE, 5), "write", 5, { immediateData: data, ahs });
    expect(client.next().status).toBe(0);
    expect(equal(unit.data(unit.written.length - 1), data)).toBe(true);
  });

  test("digests over PDUs that come one byte at a time", () => {
    const { client, unit, target } = digesting("CRC32C", "CRC32C");
    const send = client.sendBytes.bind(client);
    client.sendBytes = (bytes) => {
      for (let at = 0; at < bytes.length; at++) {
        send(bytes.slice(at, at + 1));
        target.pollOnce(0);
      }
      return true;
    };
    const ahs = Uint8Array.of(0, 5, 2, 0, 0, 0, 0, 8);
    for (const bytes of [1, 7, 300]) {
      client.command(cdbOf(WRITE, bytes), "write", bytes, { immediateData: pattern(bytes), ahs });
      expect(client.next().status).toBe(0);
      expect(equal(unit.data(unit.written.length - 1), pattern(bytes))).toBe(true);
    }
    expect(target.stats.digestErrors).toBe(0);
  });

  test("§7.8: a wrong header digest ends the connection, and the command is not carried out", () => {
    const { client, unit, target } = digesting("CRC32C", "CRC32C");
    client.breaks = "header";
    client.command(cdbOf(WRITE, 4), "write", 4, { immediateData: pattern(4) });
    client.expectClosed();
    expect([unit.written.length, target.stats.digestErrors]).toEqual([0, 1]);
  });

  test("§7.8, §11.17.1: a wrong data digest: Reject 02h, then the command's CHECK CONDITION; the session goes on", () => {
    const { client, unit, target } = digesting("CRC32C", "CRC32C");
    client.breaks = "data";
    const itt = client.command(cdbOf(WRITE, 1001), "write", 1001, { immediateData: pattern(1001) });
    const reject = client.next();
    expect([reject.opcode, reject.header[2]]).toEqual([pdu.OP_REJECT, pdu.REJECT_DATA_DIGEST]);
    expect(new DataView(reject.data.buffer).getUint32(pdu.AT_ITT)).toBe(itt);
    const answer = client.next();
    expect([answer.status, answer.data[4], answer.data[14], answer.data[15]]).toEqual([2, 0x0b, 0x47, 0x05]);
    expect([unit.written.length, unit.aborted.length]).toEqual([0, 1]);
    expect(write(client, pattern(70_000))).toBe(0);
    // In the middle of what was asked for by R2T.
    const second = client.command(cdbOf(WRITE, 1000), "write", 1000);
    const r2t = client.next();
    client.breaks = "data";
    client.dataOut(second, r2t.field(pdu.AT_TTT), 0, 0, pattern(400), false);
    client.dataOut(second, r2t.field(pdu.AT_TTT), 1, 400, pattern(600), true);
    expect(client.next().opcode).toBe(pdu.OP_REJECT);
    expect(client.next().status).toBe(2);
    expect([unit.written.length, target.stats.digestErrors]).toEqual([1, 2]);
    client.nop(pattern(10));
  });
});
