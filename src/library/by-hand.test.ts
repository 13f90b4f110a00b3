import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Barcode, isMalformed, parseBarcode } from "../base/brands.ts";
import { createLibrary, type MakeCartridge } from "./create.ts";
import { FileRobot } from "./file-robot.ts";
import { FIRST_MAIL_SLOT_ADDRESS as MAIL, FIRST_SLOT_ADDRESS as SLOT } from "./robot.ts";

const NEW = { barcode: null, capacityBytes: 5e8, earlyWarningBytes: 1e6, isSpare: false };
const makeCartridge: MakeCartridge = (path, cartridge) => {
  writeFileSync(path, cartridge.serial);
  return null;
};

function barcode(text: string): Barcode {
  const parsed = parseBarcode(text);
  if (isMalformed(parsed)) throw new Error(parsed.expected);
  return parsed;
}

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "understudy-stock-"));
  const shape = { drives: 1, spares: 0, slots: 4, cartridges: 3, capacityBytes: 1e9, earlyWarningBytes: 1e6 };
  expect("kind" in createLibrary({ directory, ...shape, serialPrefix: "T" }, makeCartridge)).toBe(false);
});
afterEach(() => rmSync(directory, { recursive: true }));

function open(mailSlots?: number): FileRobot {
  const robot = FileRobot.open({
    ...{ directory, bay: () => null, makeCartridge },
    ...(mailSlots === undefined ? {} : { mailSlots }),
  });
  if (!(robot instanceof FileRobot)) throw new Error(robot.why);
  return robot;
}

test("a new cartridge gets the next barcode, a serial number never given before, and a free slot", async () => {
  const robot = open();
  const added = await robot.addCartridge(NEW);
  expect(added).toMatchObject({ kind: "done", barcode: "UND004L8" });
  expect(robot.inventory().cartridges.at(-1)).toMatchObject({
    ...{ barcode: "UND004L8", serial: "TC004", capacityBytes: 5e8, address: SLOT + 3, isSpare: false },
  });
  expect(await robot.addCartridge(NEW)).toMatchObject({ kind: "conflict", text: "no slot is free" });
  const again = await robot.addCartridge({ ...NEW, barcode: barcode("UND001L8") });
  expect(again).toMatchObject({ kind: "conflict", text: "there is a cartridge UND001L8 already" });
  expect(open().inventory()).toEqual(robot.inventory());
});

test("RED-08: a new spare cartridge lies in a slot, in reserve, and no server sees it", async () => {
  const robot = open(1);
  const added = await robot.addCartridge({ ...NEW, isSpare: true });
  expect(added).toMatchObject({ text: "UND004L8 is new, kept for one that fails, in slot 4" });
  expect(robot.inventory().cartridges.at(-1)).toMatchObject({
    isReserve: true,
    shown: null,
    address: SLOT + 3,
  });
  expect(open(1).inventory()).toEqual(robot.inventory());
});

test("an exported cartridge keeps its file and comes back to its own slot; all of it survives a restart", async () => {
  const robot = open();
  const before = robot.inventory();
  expect((await robot.exportCartridge(barcode("UND002L8"))).kind).toBe("done");
  expect(existsSync(robot.pathOf(barcode("UND002L8")))).toBe(true);
  expect(robot.inventory().slots[1]?.barcode).toBe(null);
  const later = open();
  expect(later.inventory().cartridges).toHaveLength(2);
  expect((await later.exportCartridge(barcode("UND002L8"))).text).toBe("UND002L8 is exported already");
  // Its serial number and its barcode are not given away meanwhile.
  expect(await later.addCartridge(NEW)).toMatchObject({ kind: "done", barcode: "UND004L8" });
  expect(later.inventory().cartridges.at(-1)?.address).toBe(SLOT + 1);
  expect((await later.importCartridge(barcode("UND002L8"))).kind).toBe("done");
  const back = later.inventory().cartridges.find((one) => one.barcode === "UND002L8");
  expect(back?.address).toBe(SLOT + 3); // the new one has its old slot
  expect(back?.serial).toBe(before.cartridges[1]?.serial as never);
});

test("a cartridge in a drive is not taken out; what is not there is said so", async () => {
  const robot = open();
  await robot.moveMedium(SLOT, 256);
  expect(await robot.exportCartridge(barcode("UND001L8"))).toMatchObject({ kind: "conflict" });
  expect(await robot.exportCartridge(barcode("XYZ999L8"))).toMatchObject({ kind: "notFound" });
  expect(await robot.importCartridge(barcode("UND001L8"))).toMatchObject({ kind: "conflict" });
  expect(await robot.importCartridge(barcode("XYZ999L8"))).toMatchObject({ kind: "notFound" });
  // The empty slot is the home of the one in the drive.
  expect(await robot.addCartridge(NEW)).toMatchObject({ kind: "done" });
  expect(robot.inventory().slots[0]?.barcode).toBe(null);
  expect(await robot.addCartridge(NEW)).toMatchObject({ kind: "conflict", text: "no slot is free" });
});

test("SMC-3 §5.1: cartridges go out and come in by the import/export elements", async () => {
  const robot = open(2);
  expect(robot.inventory().mailSlots.map(({ address }) => address)).toEqual([MAIL, MAIL + 1]);
  expect(await robot.moveMedium(SLOT + 1, MAIL)).toMatchObject({ kind: "moved" });
  expect(robot.inventory().mailSlots[0]?.barcode).toBe(barcode("UND002L8"));
  expect((await robot.exportCartridge(barcode("UND002L8"))).kind).toBe("done");
  expect(robot.inventory().mailSlots[0]?.barcode).toBe(null);
  expect((await robot.importCartridge(barcode("UND002L8"))).text).toBe("UND002L8 is back, in mail slot 1");
  // A setting that takes a mail slot away does not take a cartridge away.
  const fewer = open(0);
  expect(fewer.inventory().mailSlots).toHaveLength(1);
  expect(await fewer.moveMedium(MAIL, SLOT + 1)).toMatchObject({ kind: "moved" });
  expect(open(0).inventory().mailSlots).toEqual([]);
});
