import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Barcode, type DriveId, isMalformed, parseBarcode, parseDriveId } from "../base/brands.ts";
import { ManualClock } from "../base/clock.ts";
import { createLibrary, type MakeCartridge } from "./create.ts";
import { FileRobot } from "./file-robot.ts";
import type { DriveBay, MoveOutcome } from "./robot.ts";

function driveId(number: number): DriveId {
  const id = parseDriveId(number);
  if (isMalformed(id)) throw new Error(id.expected);
  return id;
}

function barcode(text: string): Barcode {
  const parsed = parseBarcode(text);
  if (isMalformed(parsed)) throw new Error(parsed.expected);
  return parsed;
}

const DRIVE_1 = 256;
const DRIVE_2 = 257;
const SPARE = 258;
const SLOT_1 = 1024;
const SLOT_2 = 1025;
const EMPTY_SLOT = 1031;

/** A bay that only remembers. */
class Bay implements DriveBay {
  holds: string | null = null;
  refuses: string | null = null;
  answer: "ejected" | "stuck" | "prevented" | "silent" = "ejected";

  insert(path: string): Promise<string | null> {
    if (this.refuses === null) this.holds = path;
    return Promise.resolve(this.refuses);
  }

  eject(): Promise<"ejected" | "empty" | "stuck" | "prevented" | "silent"> {
    if (this.answer === "ejected") this.holds = null;
    return Promise.resolve(this.answer);
  }
}

const makeCartridge: MakeCartridge = (path, cartridge) => {
  if (existsSync(path)) return "it exists";
  writeFileSync(path, cartridge.serial);
  return null;
};

let directory = "";
let bays: Bay[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "understudy-library-"));
  bays = [new Bay(), new Bay(), new Bay()];
  const made = createLibrary(
    {
      directory,
      drives: 2,
      spares: 1,
      slots: 8,
      cartridges: 7,
      spareCartridges: 1,
      capacityBytes: 1e9,
      earlyWarningBytes: 1e6,
    },
    makeCartridge,
  );
  if ("kind" in made) throw new Error(made.why);
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function open(): FileRobot {
  const robot = FileRobot.open({
    directory,
    bay: (id) => bays[id - 1] ?? null,
    clock: new ManualClock(),
    sleep: () => Promise.resolve(),
  });
  if ("kind" in robot) throw new Error(`${robot.path}: ${robot.why}`);
  return robot;
}

function at(robot: FileRobot, address: number): string | null {
  return robot.element(address)?.barcode ?? null;
}

function reason(outcome: MoveOutcome): string {
  return outcome.kind === "refused" ? outcome.reason : "moved";
}

describe("a new library", () => {
  test("has its drives, spares, slots with barcodes, and a cartridge file each", () => {
    const { drives, slots, cartridges } = open().inventory();
    expect(drives.map((drive) => [drive.id as number, drive.address, drive.isSpare])).toEqual([
      [1, 256, false],
      [2, 257, false],
      [3, 258, true],
    ]);
    expect(new Set(drives.map((drive) => drive.serial)).size).toBe(3);
    expect(slots.map((slot) => slot.barcode as string | null)).toEqual([
      ...[1, 2, 3, 4, 5, 6, 7].map((number) => `UND00${number}L8`),
      null,
    ]);
    expect(cartridges.filter((entry) => entry.isSpare).map((entry) => entry.barcode as string)).toEqual([
      "UND007L8",
    ]);
    expect(readdirSync(join(directory, "cartridges")).length).toBe(7);
  });

  test("is never made over another one", () => {
    const again = createLibrary(
      { directory, drives: 1, spares: 0, slots: 1, capacityBytes: 1, earlyWarningBytes: 0 },
      makeCartridge,
    );
    expect(again).toMatchObject({ kind: "problem" });
  });
});

describe("moving", () => {
  test("slot to drive to another drive to a free slot: map, bays and file agree", async () => {
    const robot = open();
    expect(await robot.moveMedium(SLOT_1, DRIVE_1)).toMatchObject({ kind: "moved" });
    expect([at(robot, SLOT_1), at(robot, DRIVE_1)]).toEqual([null, "UND001L8"]);
    expect(bays[0]!.holds).toBe(join(directory, "cartridges", "UND001L8.tape"));
    expect(await robot.moveMedium(DRIVE_1, SPARE)).toMatchObject({ kind: "moved" });
    expect([bays[0]!.holds, at(robot, SPARE)]).toEqual([null, "UND001L8"]);
    expect(await robot.moveMedium(SPARE, EMPTY_SLOT)).toMatchObject({ kind: "moved" });
    expect(at(open(), EMPTY_SLOT)).toBe("UND001L8");
  });

  test("SMC-3 §6.5: unknown elements, empty sources and full destinations are refused with their sense", async () => {
    const robot = open();
    expect(await robot.moveMedium(9, DRIVE_1)).toMatchObject({
      reason: "noSuchElement",
      key: 5,
      asc: 0x21,
      ascq: 1,
    });
    expect(await robot.moveMedium(EMPTY_SLOT, DRIVE_1)).toMatchObject({
      reason: "sourceEmpty",
      asc: 0x3b,
      ascq: 0x0e,
    });
    expect(await robot.moveMedium(SLOT_1, SLOT_2)).toMatchObject({
      reason: "destinationFull",
      asc: 0x3b,
      ascq: 0x0d,
    });
  });

  test("moves asked at once are done one after the other", async () => {
    const robot = open();
    const outcomes = await Promise.all([
      robot.moveMedium(SLOT_1, DRIVE_1),
      robot.moveMedium(SLOT_2, DRIVE_1),
      robot.moveMedium(DRIVE_1, SLOT_1),
      robot.moveMedium(SLOT_2, DRIVE_1),
    ]);
    expect(outcomes.map(reason)).toEqual(["moved", "destinationFull", "moved", "moved"]);
    expect(at(robot, DRIVE_1)).toBe("UND002L8");
  });

  test("RED-21: a stuck cartridge stays; one in a silent drive is taken", async () => {
    const robot = open();
    await robot.moveMedium(SLOT_1, DRIVE_1);
    bays[0]!.answer = "stuck";
    expect(reason(await robot.moveMedium(DRIVE_1, SPARE))).toBe("stuck");
    expect(at(robot, DRIVE_1)).toBe("UND001L8");
    bays[0]!.answer = "silent";
    expect(reason(await robot.moveMedium(DRIVE_1, SPARE))).toBe("moved");
    expect(at(robot, SPARE)).toBe("UND001L8");
  });

  test("removal prevented by the host", async () => {
    const robot = open();
    await robot.moveMedium(SLOT_1, DRIVE_1);
    bays[0]!.answer = "prevented";
    expect(await robot.moveMedium(DRIVE_1, SLOT_1)).toMatchObject({
      reason: "removalPrevented",
      asc: 0x53,
      ascq: 2,
    });
  });

  test("a drive that does not take the cartridge: it is where it came from, or in its own slot", async () => {
    const robot = open();
    bays[1]!.refuses = "dirty";
    expect(await robot.moveMedium(SLOT_1, DRIVE_2)).toMatchObject({ reason: "loadFailed" });
    expect([at(robot, SLOT_1), at(robot, DRIVE_2)]).toEqual(["UND001L8", null]);
    await robot.moveMedium(SLOT_1, DRIVE_1);
    expect(reason(await robot.moveMedium(DRIVE_1, DRIVE_2))).toBe("loadFailed");
    expect([at(robot, SLOT_1), at(robot, DRIVE_1)]).toEqual(["UND001L8", null]);
  });

  test("a jam lasts until it is cleared", async () => {
    const robot = open();
    robot.arm({ kind: "jam", onMove: 2 });
    expect(reason(await robot.moveMedium(SLOT_1, DRIVE_1))).toBe("moved");
    expect(await robot.moveMedium(SLOT_2, DRIVE_2)).toMatchObject({ reason: "jam", key: 4 });
    expect(reason(await robot.moveMedium(SLOT_2, DRIVE_2))).toBe("jam");
    robot.clearFaults();
    expect(reason(await robot.moveMedium(SLOT_2, DRIVE_2))).toBe("moved");
  });
});

describe("restart", () => {
  test("a failed drive stays out until it is returned", () => {
    open().failDrive(driveId(1), "4/4400");
    const robot = open();
    expect(robot.drive(driveId(1))?.failure?.reason).toBe("4/4400");
    expect(robot.drive(driveId(2))?.failure).toBeNull();
    robot.returnDrive(driveId(1));
    expect(open().drive(driveId(1))).toMatchObject({ failure: null, isSpare: true });
  });

  test("drives get back the cartridges that lay in them", async () => {
    await open().moveMedium(SLOT_2, DRIVE_2);
    bays = [new Bay(), new Bay(), new Bay()];
    const robot = open();
    expect(await robot.reseat()).toEqual([]);
    expect(bays[1]!.holds).toBe(join(directory, "cartridges", "UND002L8.tape"));
    bays[1]!.refuses = "ENOENT";
    expect((await robot.reseat())[0]).toContain("ENOENT");
  });

  test("a half-written state is never seen: the old one stays", () => {
    writeFileSync(join(directory, "library.json.new"), "{ torn");
    expect(open().inventory().drives.length).toBe(3);
  });

  test("a state that contradicts itself, or a missing cartridge, is told with file and field", () => {
    const path = join(directory, "library.json");
    const good = readFileSync(path, "utf8");
    const why = (text: string) => {
      writeFileSync(path, text);
      const opened = FileRobot.open({ directory, bay: () => null });
      return "kind" in opened ? opened.why : "";
    };
    expect(why("{")).toContain("JSON");
    expect(why(good.replace('"id": 2', '"id": 0'))).toContain("drives.1.id");
    expect(
      why(
        good.replace(
          '"address": 1025,\n      "barcode": "UND002L8"',
          '"address": 1025,\n      "barcode": "UND001L8"',
        ),
      ),
    ).toContain("two elements");
    writeFileSync(path, good);
    rmSync(join(directory, "cartridges", "UND003L8.tape"));
    expect(why(good)).toContain("missing");
  });
});

describe("health", () => {
  test("RED-18: two drives failing on one cartridge: the cartridge; two cartridges in one drive: the drive", () => {
    const robot = open();
    const sense = { key: 3, asc: 0x0c, ascq: 0 };
    robot.noteError({ drive: driveId(1), barcode: barcode("UND001L8"), sense });
    robot.noteError({ drive: driveId(1), barcode: barcode("UND001L8"), sense });
    const suspects = (of: FileRobot) => {
      const { drives, cartridges } = of.health();
      return [
        ...drives.filter((drive) => drive.isSuspect).map((drive) => String(drive.id)),
        ...cartridges.filter((entry) => entry.isSuspect).map((entry) => String(entry.barcode)),
      ];
    };
    expect(suspects(robot)).toEqual([]);
    robot.noteError({ drive: driveId(2), barcode: barcode("UND001L8"), sense: null });
    expect(suspects(robot)).toEqual(["UND001L8"]);
    robot.noteError({ drive: driveId(1), barcode: barcode("UND002L8"), sense });
    expect(suspects(open())).toEqual(["1", "UND001L8"]);
    expect(robot.health().drives[0]).toMatchObject({ errors: 3 });
    robot.returnDrive(driveId(1));
    expect(suspects(robot)).toEqual([]);
  });
});
