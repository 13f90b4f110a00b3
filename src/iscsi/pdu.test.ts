import { describe, expect, test } from "bun:test";
import * as pdu from "./pdu.ts";
import * as requests from "./requests.ts";
import * as responses from "./responses.ts";
import { formatText, parseText, splitText, TEXT_BYTES_MAX, TextCollector } from "./text.ts";

const bytes = new Uint8Array(new SharedArrayBuffer(256));
const view = new DataView(bytes.buffer);
const AT = 64;
const u32 = (offset: number): number => pdu.field(view, AT, offset);

function dirty(): void {
  bytes.fill(0xee);
}

describe("RFC 7143 §11: each PDU comes back as it was written, and nothing beside it", () => {
  test("§11.3 SCSI Command", () => {
    dirty();
    const cdb = Uint8Array.from([0x0a, 0, 4, 0, 0, 0]);
    requests.encodeScsiCommand(view, AT, 0xa1, 300, 0xdeadbeef, 0x80000001, 7, 9, cdb, 0x123456);
    expect(pdu.opcodeOf(view, AT)).toBe(pdu.OP_SCSI_COMMAND);
    expect(pdu.isImmediate(view, AT)).toBe(false);
    expect(pdu.flagsOf(view, AT)).toBe(0xa1);
    expect(pdu.lunAt(view, AT)).toBe(300);
    expect(pdu.dataBytesOf(view, AT)).toBe(0x123456);
    expect(pdu.ahsBytesOf(view, AT)).toBe(0);
    expect([u32(pdu.AT_ITT), u32(pdu.AT_EDTL), u32(pdu.AT_CMD_SN), u32(pdu.AT_EXP_STAT_SN)]).toEqual([
      0xdeadbeef, 0x80000001, 7, 9,
    ]);
    expect([...bytes.subarray(AT + 32, AT + 48)]).toEqual([0x0a, 0, 4, ...new Array(13).fill(0)]);
    expect(bytes[AT - 1]).toBe(0xee);
    expect(bytes[AT + 48]).toBe(0xee);
  });
  test("§11.7 Data-Out, Data-In", () => {
    dirty();
    requests.encodeDataOut(view, AT, true, 1, 2, 3, 4, 5, 6, 7);
    expect([u32(16), u32(20), u32(28), u32(36), u32(40)]).toEqual([2, 3, 4, 5, 6]);
    expect(pdu.flagsOf(view, AT)).toBe(pdu.FLAG_FINAL);
    responses.encodeDataIn(view, AT, 0x83, 0, 1, 2, 3, 4, 5, 6);
    responses.stampSequence(view, AT, 10, 11, 12);
    expect([u32(16), u32(20), u32(24), u32(28), u32(32), u32(36), u32(40), u32(44)]).toEqual([
      2, 0xffffffff, 10, 11, 12, 3, 4, 5,
    ]);
    expect(pdu.dataBytesOf(view, AT)).toBe(6);
  });
  test("§11.4 SCSI Response", () => {
    dirty();
    responses.encodeScsiResponse(view, AT, 0, 2, 77, 3, pdu.FLAG_UNDERFLOW, 512, 20);
    expect([...bytes.subarray(AT, AT + 8)]).toEqual([0x21, 0x82, 0, 2, 0, 0, 0, 20]);
    expect([u32(16), u32(36), u32(44)]).toEqual([77, 3, 512]);
  });
  test("§11.8 R2T", () => {
    dirty();
    responses.encodeR2T(view, AT, 2, 5, 6, 7, 262144, 1048576);
    expect([u32(16), u32(20), u32(36), u32(40), u32(44)]).toEqual([5, 6, 7, 262144, 1048576]);
  });
  test("§11.5, §11.6 task management", () => {
    dirty();
    requests.encodeTaskManagement(view, AT, true, pdu.TMF_ABORT_TASK, 3, 4, 5, 6, 7, 8);
    expect(bytes[AT]).toBe(0x42);
    expect(bytes[AT + 1]).toBe(0x81);
    expect([u32(16), u32(20), u32(24), u32(28), u32(32)]).toEqual([4, 5, 7, 8, 6]);
    responses.encodeTaskManagementResponse(view, AT, pdu.TMF_NO_TASK, 4);
    expect([bytes[AT], bytes[AT + 2], u32(16)]).toEqual([0x22, 1, 4]);
  });
  test("§11.12, §11.13 login", () => {
    dirty();
    requests.encodeLogin(view, AT, true, false, 1, 3, 0x00023d01, 0x0102, 0, 9, 1, 2, 3, 100);
    expect([bytes[AT], bytes[AT + 1]]).toEqual([0x43, 0x87]);
    expect([...bytes.subarray(AT + 8, AT + 16)]).toEqual([0, 2, 0x3d, 1, 1, 2, 0, 0]);
    responses.encodeLoginResponse(view, AT, false, true, 0, 3, 0x00023d01, 0x0102, 5, 9, 0x0203, 0);
    expect([bytes[AT], bytes[AT + 1], bytes[AT + 36], bytes[AT + 37]]).toEqual([0x23, 0x40, 2, 3]);
  });
  test("§11.10, §11.11, §11.14, §11.15, §11.16 text, logout, SNACK", () => {
    dirty();
    requests.encodeText(view, AT, false, true, false, 1, 0xffffffff, 2, 3, 16);
    expect([bytes[AT], bytes[AT + 1], u32(20)]).toEqual([4, 0x80, 0xffffffff]);
    responses.encodeTextResponse(view, AT, false, true, 1, 2, 3);
    expect([bytes[AT], bytes[AT + 1]]).toEqual([0x24, 0x40]);
    requests.encodeLogout(view, AT, true, 1, 2, 3, 4, 5);
    expect([bytes[AT], bytes[AT + 1], view.getUint16(AT + 20)]).toEqual([0x46, 0x81, 3]);
    responses.encodeLogoutResponse(view, AT, 2, 1, 5, 6);
    expect([bytes[AT + 2], view.getUint16(AT + 40), view.getUint16(AT + 42)]).toEqual([2, 5, 6]);
    requests.encodeSnack(view, AT, 1, 0, 2, 3, 4, 5, 6);
    expect([bytes[AT], bytes[AT + 1], u32(40), u32(44)]).toEqual([0x10, 0x81, 5, 6]);
  });
  test("§11.17, §11.9, §11.18, §11.19 reject, async, NOPs", () => {
    dirty();
    responses.encodeReject(view, AT, pdu.REJECT_PROTOCOL_ERROR);
    expect([bytes[AT], bytes[AT + 2], u32(16), pdu.dataBytesOf(view, AT)]).toEqual([0x3f, 4, 0xffffffff, 48]);
    responses.encodeAsyncMessage(view, AT, pdu.ASYNC_LOGOUT_REQUEST, 1, 2, 3);
    expect([bytes[AT], bytes[AT + 36], view.getUint16(AT + 42)]).toEqual([0x32, 1, 3]);
    requests.encodeNopOut(view, AT, true, 0, 5, 0xffffffff, 6, 7, 8);
    expect([bytes[AT], bytes[AT + 1]]).toEqual([0x40, 0x80]);
    responses.encodeNopIn(view, AT, 0, 5, 0xffffffff, 8);
    expect([bytes[AT], u32(16), u32(20)]).toEqual([0x20, 5, 0xffffffff]);
  });
});

test("SAM-5 §4.7: LUNs by peripheral and flat addressing; other forms are none of ours", () => {
  for (const lun of [0, 1, 255, 256, 0x3fff]) {
    pdu.setLun(view, AT, lun);
    expect(pdu.lunAt(view, AT)).toBe(lun);
  }
  view.setUint16(AT + 8, 0xc101);
  expect(pdu.lunAt(view, AT)).toBe(-1);
  view.setUint16(AT + 8, 0x0001);
  view.setUint16(AT + 10, 1);
  expect(pdu.lunAt(view, AT)).toBe(-1);
});

test("RFC 7143 §4.2.2.1: sequence numbers wrap", () => {
  expect(pdu.serialDifference(0, 0xffffffff)).toBe(1);
  expect(pdu.serialDifference(0xffffffff, 0)).toBe(-1);
  expect(pdu.nextSerial(0xffffffff)).toBe(0);
});

test("RFC 7143 §11.2.2: additional header segments are found, and lengths beyond the end are refused", () => {
  dirty();
  bytes.set([0, 5, 2, 0, 0, 0, 16, 0, 0, 17, 1, 0], AT);
  expect(pdu.findAhs(view, AT, 8, pdu.AHS_BIDIRECTIONAL)).toBe(AT);
  expect(pdu.findAhs(view, AT, 28, pdu.AHS_EXTENDED_CDB)).toBe(AT + 8);
  expect(pdu.findAhs(view, AT, 24, pdu.AHS_EXTENDED_CDB)).toBe(-2);
  expect(pdu.findAhs(view, AT, 8, pdu.AHS_EXTENDED_CDB)).toBe(-1);
});

test("RFC 7143 §6.1: text in one and in several PDUs", () => {
  const text = formatText([
    ["InitiatorName", "iqn.2026-01.example:host"],
    ["AuthMethod", "None"],
  ]);
  const collector = new TextCollector();
  for (const segment of splitText(text, 7)) expect(collector.add(segment)).toBe(true);
  expect(collector.take()).toEqual(parseText(text));
  expect(collector.bytes).toBe(0);
  expect(parseText(text)).toEqual({
    kind: "text",
    pairs: [
      ["InitiatorName", "iqn.2026-01.example:host"],
      ["AuthMethod", "None"],
    ],
  });
  expect(parseText(new Uint8Array(0))).toEqual({ kind: "text", pairs: [] });
  for (const bad of [
    "nothing\0",
    "=x\0",
    "two words=x\0",
    `K${"k".repeat(63)}=1\0`,
    `A=${"x".repeat(8193)}\0`,
  ]) {
    expect(parseText(Buffer.from(bad)).kind).toBe("malformed");
  }
  expect(new TextCollector().add(new Uint8Array(TEXT_BYTES_MAX + 1))).toBe(false);
});
