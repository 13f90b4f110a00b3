import { expect, test } from "bun:test";
import * as cdb from "../cdb.ts";
import { defaultChangerIdentity, defaultTapeIdentity } from "../inquiry.ts";
import {
  parseElementAddresses,
  parseElementStatus,
  parseInquiry,
  parseModeSense,
  parseVpd83,
} from "../replies.ts";
import * as senses from "../senses.ts";
import { moveSense, SmcUnit } from "./smc.ts";
import { SscUnit } from "./ssc.ts";
import { STATUS_GOOD } from "./task.ts";
import { FakeChangerPort, FakeInitiator, FakeTapePort, nexus } from "./testing.ts";

const C = new Uint8Array(16);

function ready(slots = 4): { port: FakeChangerPort; unit: SmcUnit; host: FakeInitiator } {
  const port = new FakeChangerPort(slots);
  const unit = new SmcUnit({ identity: defaultChangerIdentity("UNDLIB0001"), port });
  return { port, unit, host: new FakeInitiator(unit).settle() };
}

test("SMC-3 INQUIRY: device type 8, removable", () => {
  const { host } = ready();
  cdb.putInquiry(C, 96);
  expect(parseInquiry(host.run(C).data)).toMatchObject({
    deviceType: 8,
    removable: true,
    product: "VIRTUAL-LIB",
  });
});

test("RED-01: READ ELEMENT STATUS shows every element with volume tags, sources and states", () => {
  const { port, host } = ready();
  port.all[1] = { ...port.all[1]!, barcode: "UND009L8", source: 1003 };
  cdb.putReadElementStatus(C, 65535);
  const report = parseElementStatus(host.run(C).data)!;
  expect(report.elements.map(({ type, address, barcode }) => [type, address, barcode])).toEqual([
    [1, 1, null],
    [4, 256, "UND009L8"],
    [4, 257, null],
    [3, 500, null],
    [2, 1000, "UND001L8"],
    [2, 1001, null],
    [2, 1002, "UND003L8"],
    [2, 1003, null],
  ]);
  expect(report.elements[1]).toMatchObject({ full: true, accessible: true, source: 1003, exception: null });
});

test("SMC-3 READ ELEMENT STATUS: type, starting address and number of elements choose", () => {
  const { host } = ready();
  const addresses = (type: number, first: number, count: number): number[] => {
    cdb.putReadElementStatus(C, 65535, { type, first, count, volumeTags: false });
    return parseElementStatus(host.run(C).data)!.elements.map(({ address }) => address);
  };
  expect(addresses(2, 0, 65535)).toEqual([1000, 1001, 1002, 1003]);
  expect(addresses(2, 1001, 2)).toEqual([1001, 1002]);
  expect(addresses(0, 257, 3)).toEqual([257, 500, 1000]);
  expect(addresses(4, 1000, 9)).toEqual([]);
  expect(addresses(2, 0, 0)).toEqual([]);
  expect(host.run([0xb8, 0x05, 0, 0, 0, 1, 0, 0, 1, 0]).sense).toEqual(senses.invalidFieldInCdb(1, 3));
});

test("SMC-3 READ ELEMENT STATUS: counts are those of the whole report, however short the allocation length", () => {
  const { host } = ready();
  cdb.putReadElementStatus(C, 65535);
  const whole = host.run(C).data;
  for (const bytes of [0, 1, 8, 16, 20, 100, whole.length, whole.length + 1]) {
    cdb.putReadElementStatus(C, bytes);
    const { data } = host.run(C);
    expect(data).toEqual(whole.slice(0, bytes));
  }
  expect(parseElementStatus(whole)?.wholeBytes).toBe(whole.length);
});

test("SMC-3 READ ELEMENT STATUS: a library larger than the buffer is reported as far as it fits, and never throws", () => {
  const { host } = ready(3000);
  cdb.putReadElementStatus(C, 0xffffff);
  const { data } = host.run(C);
  expect(data.length).toBe(65536);
  const report = parseElementStatus(data)!;
  expect(report.wholeBytes).toBeGreaterThan(3000 * 52);
  expect(report.elements.length).toBeGreaterThan(1200);
});

test("RED-07: DVCID of a drive equals the designator of its VPD 83h", () => {
  const { host } = ready();
  cdb.putReadElementStatus(C, 65535, { type: 4, deviceIds: true, currentData: true });
  const ids = parseElementStatus(host.run(C).data)!.elements.map(({ deviceId }) => deviceId);
  expect(ids).toEqual(["UNDRSTDYVIRTUAL-LTO8    UND0000001", "UNDRSTDYVIRTUAL-LTO8    UND0000002"]);
  const tape = new SscUnit({ identity: defaultTapeIdentity("UND0000001"), port: new FakeTapePort() });
  cdb.putInquiryVpd(C, 0x83, 255);
  const designators = parseVpd83(new FakeInitiator(tape).run(C).data)!;
  expect(Buffer.from(designators[0]!.bytes).toString()).toBe(ids[0]!);
});

test("SMC-3 MOVE MEDIUM, EXCHANGE MEDIUM: addresses are checked, robot 0 is the first one", () => {
  const { port, host } = ready();
  cdb.putMoveMedium(C, 0, 1000, 256);
  expect(host.run(C).status).toBe(STATUS_GOOD);
  cdb.putExchangeMedium(C, 1, 1000, 256, 1001);
  expect(host.run(C).status).toBe(STATUS_GOOD);
  expect(port.moves).toEqual(["1: 1000 -> 256", "1: 1000 -> 256 -> 1001"]);
  for (const [transport, source, destination] of [
    [2, 1000, 256],
    [0, 999, 256],
    [0, 1000, 258],
    [0, 1, 256],
  ] as const) {
    cdb.putMoveMedium(C, transport, source, destination);
    expect(host.run(C).sense).toEqual(senses.invalidElementAddress);
  }
  cdb.putMoveMedium(C, 0, 1000, 256);
  C[10] = 1; // invert
  expect(host.run(C).sense).toEqual(senses.invalidFieldInCdb(10, 0));
  expect(port.moves.length).toBe(2);
  expect(moveSense(port.all, 1001, 256)).toEqual(senses.sourceElementEmpty);
  expect(moveSense(port.all, 1000, 1002)).toEqual(senses.destinationElementFull);
  expect(moveSense(port.all, 1000, 256)).toBeNull();
});

test("SMC-3 mode pages 1Dh, 1Eh, 1Fh: where the elements are and what may be moved", () => {
  const { host } = ready();
  cdb.putModeSense6(C, 0x3f, 255);
  const modes = parseModeSense(false, host.run(C).data)!;
  expect([...modes.pages.keys()]).toEqual([0x02, 0x0a, 0x1c, 0x1d, 0x1e, 0x1f]);
  expect(parseElementAddresses(modes.pages.get(0x1d)!)).toEqual({
    transport: { first: 1, count: 1 },
    storage: { first: 1000, count: 4 },
    importExport: { first: 500, count: 1 },
    transfer: { first: 256, count: 2 },
  });
  expect(modes.pages.get(0x1f)?.[2]).toBe(0x0e);
});

test("SMC-3: INITIALIZE ELEMENT STATUS, POSITION TO ELEMENT, prevention and the mail slot's attention", () => {
  const { port, unit, host } = ready();
  const other = new FakeInitiator(unit, nexus(2)).settle();
  cdb.putInitializeElementStatus(C);
  expect(host.run(C).status).toBe(STATUS_GOOD);
  expect(host.run([0x37, 0x01, 3, 232, 0, 0, 0, 2]).status).toBe(STATUS_GOOD);
  cdb.putPositionToElement(C, 0, 1000);
  expect(host.run(C).status).toBe(STATUS_GOOD);
  cdb.putPositionToElement(C, 0, 999);
  expect(host.run(C).sense).toEqual(senses.invalidElementAddress);
  cdb.putPreventAllow(C, true);
  host.run(C);
  expect(port.prevented).toBe(true);
  unit.importExportAccessed();
  for (const each of [host, other]) expect(each.run([0]).sense).toEqual(senses.importExportAttention);
  port.blocking = senses.becomingReady;
  cdb.putMoveMedium(C, 0, 1000, 256);
  expect(host.run(C).sense).toEqual(senses.becomingReady);
});
