import { describe, expect, test } from "bun:test";
import { alertsForHost, classify, type FaultEvidence, NO_SCORES, senseWord } from "./classify.ts";

function given(code: string | null, more: Partial<FaultEvidence> = {}): FaultEvidence {
  const sense =
    code === null
      ? null
      : {
          key: Number.parseInt(code.slice(0, 1), 16),
          asc: Number.parseInt(code.slice(2, 4), 16),
          ascq: Number.parseInt(code.slice(4, 6), 16),
          deferred: false,
        };
  return { sense, tapeAlerts: [], unreachable: false, timedOut: false, scores: NO_SCORES, ...more };
}

describe("RED-18: the table of FACTS, row by row", () => {
  const rows: readonly (readonly [string, string, string])[] = [
    ["3/0C00 3/0302 3/0900 3/5000", "unclear", "otherDrive"],
    ["3/1100 3/1403 3/3100 3/3300 3/5100 3/5200 3/8501", "cartridge", "replaceCartridge"],
    ["3/8502 4/4000 4/4081 4/4100 4/4400 4/4C00 4/1501 4/0801 4/0900 4/3B08", "drive", "replaceDrive"],
    ["3/5300 4/5302 4/5200", "mechanism", "otherDriveOnce"],
    ["0/0017 1/0017 2/0017", "cleaning", "cleanAfterJob"],
    ["2/3003 3/3007", "cartridge", "neverData"],
    ["7/2700", "state", "writeProtected"],
    ["1/1700 1/5D00", "recovered", "score"],
    ["2/0401 2/0407", "wait", "waitUntilReady"],
    ["2/3A00", "state", "readElements"],
    ["6/2900 6/2800 6/3F01", "state", "readPosition"],
    ["B/4400 B/4B00", "path", "otherDrive"],
    ["5/2500", "path", "replaceDrive"],
    ["D/0002 0/0002", "endOfMedium", "endOfMedium"],
  ];
  for (const [codes, blame, act] of rows)
    test(`${codes}: ${blame}, ${act}`, () => {
      for (const code of codes.split(" ")) expect(classify(given(code))).toMatchObject({ blame, act });
    });

  test("TapeAlert alone, and beside an unclear sense", () => {
    for (const [alert, blame] of [
      [4, "cartridge"],
      [30, "drive"],
      [16, "mechanism"],
      [20, "cleaning"],
      [6, "unclear"],
    ] as const)
      expect(classify(given(null, { tapeAlerts: [alert] })).blame).toBe(blame);
    expect(classify(given("3/0C00", { tapeAlerts: [6, 4] })).blame).toBe("cartridge");
    expect(classify(given("3/0C00", { tapeAlerts: [3] })).blame).toBe("unclear");
    expect(classify(given("4/4400", { tapeAlerts: [4] })).blame).toBe("drive");
    expect(classify(given(null, { tapeAlerts: [20] })).act).toBe("cleanNow");
  });

  test("RED-09: the host hears of a medium's flags and of cleaning, not of a mechanism that is ours to mend", () => {
    expect(alertsForHost([4, 9, 16, 20, 21, 30, 31, 36])).toEqual([4, 9, 20, 21, 36]);
  });

  test("timeout, loss of transport, and no word at all", () => {
    for (const more of [{ unreachable: true }, { timedOut: true }])
      expect(classify(given(null, more))).toMatchObject({ blame: "path", act: "otherDrive" });
    expect(classify(given(null, { unreachable: true, tapeAlerts: [3] })).blame).toBe("path");
    expect(classify(given(null))).toMatchObject({ blame: "unclear", act: "otherDrive" });
    expect(classify(given("9/8000"))).toMatchObject({ row: "odd", act: "otherDrive" });
  });

  test("a word for the sense", () => {
    expect(senseWord({ key: 0xb, asc: 0x4b, ascq: 1, deferred: true })).toBe("B/4B01");
  });
});

describe("RED-18: scores", () => {
  const scores = (of: Partial<typeof NO_SCORES>) => ({ scores: { ...NO_SCORES, ...of } });

  test("two drives failing on one cartridge: the cartridge", () => {
    for (const code of ["3/0C00", "4/5300"])
      expect(classify(given(code, scores({ otherDrivesOnCartridge: 1 })))).toMatchObject({
        blame: "cartridge",
        overruled: true,
      });
  });

  test("two cartridges failing in one drive: the drive", () => {
    for (const code of ["3/0C00", "3/1100", "4/5300"])
      expect(classify(given(code, scores({ otherCartridgesInDrive: 1 })))).toMatchObject({
        blame: "drive",
        overruled: true,
      });
  });

  test("a plain hardware error stays the drive's, until a third drive dies of the same cartridge", () => {
    const one = scores({ otherDrivesOnCartridge: 1, drivesDeadOnCartridge: 1 });
    expect(classify(given("4/4400", one))).toMatchObject({ blame: "drive", overruled: false });
    expect(classify(given("4/4400", scores({ drivesDeadOnCartridge: 2 }))).blame).toBe("cartridge");
  });

  test("a reset is a reset, whatever came before", () => {
    const all = scores({ otherDrivesOnCartridge: 3, drivesDeadOnCartridge: 3, otherCartridgesInDrive: 3 });
    expect(classify(given("6/2900", all)).act).toBe("readPosition");
  });
});
