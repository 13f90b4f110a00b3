import { expect, test } from "bun:test";
import * as cdb from "../cdb.ts";
import { defaultTapeIdentity } from "../inquiry.ts";
import { attributeText, logNumber, logText, parseAttributes, parseLogPage, tapeAlerts } from "../replies.ts";
import * as senses from "../senses.ts";
import { SscUnit } from "./ssc.ts";
import { STATUS_CHECK_CONDITION, STATUS_GOOD } from "./task.ts";
import { FakeInitiator, FakeTapePort } from "./testing.ts";

const C = new Uint8Array(16);

function ready(): { port: FakeTapePort; host: FakeInitiator } {
  const port = new FakeTapePort();
  const unit = new SscUnit({ identity: defaultTapeIdentity("UND0000001"), port });
  return { port, host: new FakeInitiator(unit).settle() };
}

function logPage(host: FakeInitiator, page: number, pointer = 0): ReturnType<typeof parseLogPage> {
  cdb.putLogSense(C, page, 4096, pointer);
  return parseLogPage(host.run(C).data);
}

test("SPC-5 LOG SENSE: every page that 00h lists is there, no other", () => {
  const { host } = ready();
  cdb.putLogSense(C, 0, 255);
  const listed = [...host.run(C).data.subarray(4)];
  expect(listed).toEqual([0x00, 0x02, 0x03, 0x0c, 0x11, 0x17, 0x2e, 0x31]);
  for (let page = 0; page < 64; page++) {
    cdb.putLogSense(C, page, 4096);
    expect(host.run(C).status).toBe(listed.includes(page) ? STATUS_GOOD : STATUS_CHECK_CONDITION);
  }
  cdb.putLogSense(C, 0, 255);
  C[3] = 0xff;
  expect([...host.run(C).data.subarray(4, 10)]).toEqual([0, 0, 0, 0xff, 2, 0]);
});

test("SPC-5 LOG SENSE: the parameter pointer skips, and beyond the last is invalid; the allocation length cuts", () => {
  const { host } = ready();
  expect([...(logPage(host, 0x31, 3)?.parameters.keys() ?? [])]).toEqual([3, 4]);
  cdb.putLogSense(C, 0x31, 4096, 5);
  expect(host.run(C).sense).toEqual(senses.invalidFieldInCdb(5));
  cdb.putLogSense(C, 0x31, 6);
  const answer = host.run(C);
  expect(answer.inBytes).toBe(6);
  expect(answer.data[3]).toBe(32);
});

test("RED-05: capacity and remainder on pages 31h and 17h never promise more than there is", () => {
  const { port, host } = ready();
  port.medium.capacityBytes = 100_900_000;
  port.medium.remainingBytes = 60_100_000;
  const capacity = logPage(host, 0x31)!;
  expect(logNumber(capacity, 1)).toBe(Math.floor(60_100_000 / 1048576));
  expect(logNumber(capacity, 3)).toBe(Math.floor(100_900_000 / 1048576));
  const statistics = logPage(host, 0x17)!;
  const remaining = logNumber(statistics, 0x16)! - logNumber(statistics, 0x17)!;
  expect(remaining).toBeLessThanOrEqual(60);
  expect(remaining).toBeGreaterThanOrEqual(58);
  expect(logText(statistics, 0x42)).toBe("UND001L8");
  expect(logText(statistics, 0x40)).toBe("MED0000001");
});

test("SSC-5 TapeAlert: 64 flags, told once by the port", () => {
  const { port, host } = ready();
  port.alerts = [3, 20, 64];
  const page = logPage(host, 0x2e)!;
  expect(page.parameters.size).toBe(64);
  expect(tapeAlerts(page)).toEqual([3, 20, 64]);
  expect(tapeAlerts(logPage(host, 0x2e)!)).toEqual([]);
});

test("SPC-5 LOG SELECT: resets the counters, takes no list and saves nothing", () => {
  const { port, host } = ready();
  let resets = 0;
  Object.assign(port, { resetFigures: () => resets++ });
  cdb.putLogSelectReset(C);
  expect(host.run(C).status).toBe(STATUS_GOOD);
  expect(resets).toBe(1);
  C[8] = 4;
  expect(host.run(C).sense).toEqual(senses.invalidFieldInCdb(7));
  cdb.putLogSelectReset(C);
  C[1] = 1;
  expect(host.run(C).sense).toEqual(senses.invalidFieldInCdb(1, 0));
});

test("SPC-5 READ ATTRIBUTE: capacity, cartridge serial and barcode, from an identifier on", () => {
  const { port, host } = ready();
  cdb.putReadAttribute(C, 0, 4096);
  const values = parseAttributes(host.run(C).data);
  expect(attributeText(values, 0x0401)).toBe("MED0000001");
  expect(attributeText(values, 0x0806)).toBe("UND001L8");
  expect(values.get(1)?.[7]).toBe(Math.floor(100_000_000 / 1048576));
  cdb.putReadAttribute(C, 0x0806, 4096);
  expect([...parseAttributes(host.run(C).data).keys()]).toEqual([0x0806]);
  C[7] = 1;
  expect(host.run(C).sense).toEqual(senses.invalidFieldInCdb(7));
  port.medium.loaded = port.medium.present = false;
  expect(host.run(C).sense).toEqual(senses.mediumNotPresent);
});

test("SSC-5 REPORT DENSITY SUPPORT: all densities, or that of the loaded medium", () => {
  const { port, host } = ready();
  cdb.putReportDensitySupport(C, 4096, false);
  expect(host.run(C).data.length).toBe(4 + 2 * 52);
  cdb.putReportDensitySupport(C, 4096, true);
  const { data } = host.run(C);
  expect([data.length, data[1], data[4]]).toEqual([56, 54, 0x5e]);
  port.medium.loaded = port.medium.present = false;
  expect(host.run(C).sense).toEqual(senses.mediumNotPresent);
});

test("SPC-5 REPORT SUPPORTED OPERATION CODES: what is listed is known, what is not is 20h/00h", () => {
  const { host } = ready();
  const all = host.run([0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0]).data;
  const listed = new Set<number>();
  for (let at = 4; at < all.length; at += 8) listed.add(all[at]!);
  expect(listed.size).toBe(33);
  for (let opcode = 0; opcode < 256; opcode++) {
    const { sense } = host.run([opcode]);
    expect(sense?.asc === 0x20).toBe(!listed.has(opcode));
    host.settle();
  }
  const write = host.run([0xa3, 0x0c, 1, 0x0a, 0, 0, 0, 0, 0, 255]).data;
  expect([...write]).toEqual([0, 3, 0, 6, 0x0a, 0x01, 0xff, 0xff, 0xff, 0x04]);
  expect([...host.run([0xa3, 0x0c, 1, 0xc7, 0, 0, 0, 0, 0, 255]).data]).toEqual([0, 1, 0, 0]);
  expect([...host.run([0xa3, 0x0c, 3, 0xa3, 0, 0x0c, 0, 0, 0, 255]).data.subarray(0, 5)]).toEqual([
    0, 3, 0, 12, 0xa3,
  ]);
});
