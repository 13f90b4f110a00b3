import { describe, expect, test } from "bun:test";
import {
  type Barcode,
  type DeviceName,
  type DriveId,
  isMalformed,
  parseBarcode,
  parseDeviceName,
  parseDriveId,
} from "../base/brands.ts";
import {
  choose,
  chooseCartridge,
  markFailed,
  type PoolDrive,
  release,
  returnDrive,
  type SpareRequest,
  setHolds,
} from "./choose.ts";
import { addFailure, type FailureHistory, forgetDrive, scoresOf } from "./score.ts";

const door = <T>(value: T): Exclude<T, { kind: "malformed" }> => {
  if (isMalformed(value)) throw new Error(value.expected);
  return value as Exclude<T, { kind: "malformed" }>;
};
const id = (number: number): DriveId => door(parseDriveId(number));
const device: DeviceName = door(parseDeviceName("drive-1"));
const other: DeviceName = door(parseDeviceName("drive-2"));
const cartridge: Barcode = door(parseBarcode("UND001L8"));
const another: Barcode = door(parseBarcode("UND002L8"));

function drive(number: number, more: Partial<PoolDrive> = {}): PoolDrive {
  return { id: id(number), role: "spare", condition: "good", usedBy: null, holds: null, ...more };
}
function ask(pool: readonly PoolDrive[], more: Partial<SpareRequest> = {}): number | null {
  return choose(pool, { device, cartridge, spares: "dedicated", excluded: [], wanted: null, ...more }).drive;
}

describe("RED-30, step 608: which drive stands in", () => {
  test("never a failed one, one in use, one with another cartridge, one that was tried", () => {
    const pool = [
      drive(1, { condition: "failed" }),
      drive(2, { usedBy: other }),
      drive(3, { holds: another }),
      drive(4),
    ];
    expect(ask(pool)).toBe(4);
    expect(ask(pool, { excluded: [id(4)] })).toBeNull();
  });

  test("a dedicated spare first; any idle drive only where the setting says so", () => {
    const pool = [drive(1, { role: "primary" }), drive(2)];
    expect(ask(pool)).toBe(2);
    expect(ask(pool, { spares: "any" })).toBe(2);
    expect(ask(pool.slice(0, 1))).toBeNull();
    expect(ask(pool.slice(0, 1), { spares: "any" })).toBe(1);
  });

  test("the drive that holds the cartridge already before others; a suspect last", () => {
    expect(ask([drive(1), drive(2, { holds: cartridge })])).toBe(2);
    expect(ask([drive(1, { condition: "suspect" }), drive(2)])).toBe(2);
    expect(ask([drive(1, { condition: "suspect" })])).toBe(1);
  });

  test("the operator's wish goes before the exclusions, not before the rules", () => {
    const pool = [drive(1), drive(2), drive(3, { condition: "failed" })];
    expect(ask(pool, { wanted: id(2), excluded: [id(2)] })).toBe(2);
    expect(ask(pool, { wanted: id(3) })).toBeNull();
  });

  test("the chosen one is in use; failing, releasing and returning change the pool", () => {
    const { pool } = choose([drive(1)], { device, cartridge, spares: "any", excluded: [], wanted: null });
    expect(pool[0]).toMatchObject({ usedBy: device });
    expect(ask(pool)).toBeNull();
    expect(release(pool, id(1), true)[0]).toMatchObject({ usedBy: null, condition: "suspect" });
    const failed = markFailed(setHolds(pool, id(1), cartridge), id(1));
    expect(failed[0]).toMatchObject({ usedBy: null, condition: "failed", holds: cartridge });
    expect(returnDrive(failed, id(1))[0]).toMatchObject({ condition: "good", role: "spare" });
    expect(returnDrive(pool, id(1))[0]).toMatchObject({ usedBy: device });
  });
});

describe("RED-18: failures are remembered for drive and cartridge", () => {
  const day = 24 * 3600 * 1000;
  const history: FailureHistory = [
    { drive: id(1), cartridge, blame: "unclear" as const, atMs: 0 },
    { drive: id(2), cartridge, blame: "drive" as const, atMs: 1 },
    { drive: id(2), cartridge: another, blame: "unclear" as const, atMs: 2 },
    { drive: id(3), cartridge, blame: "state" as const, atMs: 3 },
  ].reduce<FailureHistory>(addFailure, []);

  test("scores count others, each once, and only what may be their own fault", () => {
    expect(scoresOf(history, id(4), cartridge)).toEqual({
      otherDrivesOnCartridge: 1,
      drivesDeadOnCartridge: 2,
      otherCartridgesInDrive: 0,
    });
    expect(scoresOf(history, id(2), cartridge).otherCartridgesInDrive).toBe(1);
    expect(scoresOf(history, id(1), cartridge).otherDrivesOnCartridge).toBe(0);
    expect(scoresOf(history, id(1), null).drivesDeadOnCartridge).toBe(0);
  });

  test("a returned drive starts anew; old failures are forgotten", () => {
    expect(scoresOf(forgetDrive(history, id(1)), id(4), cartridge).otherDrivesOnCartridge).toBe(0);
    const later = addFailure(history, { drive: id(4), cartridge, blame: "unclear", atMs: 91 * day });
    expect(later).toHaveLength(1);
  });
});

describe("RED-21, RED-22: a spare cartridge (620, 631)", () => {
  const of = (name: string, capacityBytes: number, available = true) => ({
    barcode: door(parseBarcode(name)),
    capacityBytes,
    available,
  });
  const reserve = [of("UND010L8", 100), of("UND011L8", 300), of("UND012L8", 200), of("UND013L8", 150, false)];
  const chosen = (needed: number, larger: number | null) =>
    chooseCartridge(reserve, needed, larger) as string | null;

  test("the smallest that holds the image; never one that is not there", () => {
    expect(chosen(50, null)).toBe("UND010L8");
    expect(chosen(120, null)).toBe("UND012L8");
    expect(chosen(400, null)).toBeNull();
  });

  test("RED-05: after a physical end a larger one, where there is one", () => {
    expect(chosen(90, 100)).toBe("UND012L8");
    expect(chosen(250, 300)).toBe("UND011L8");
  });
});
