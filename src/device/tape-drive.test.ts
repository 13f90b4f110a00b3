import { describe, expect, test } from "bun:test";
import type { CommandReply, DataDirection } from "../base/command-reply.ts";
import { encodeFixedSense, type Sense } from "../scsi/sense.ts";
import { type DriveOutcome, TapeDrive } from "./tape-drive.ts";
import type { Transport } from "./transport.ts";

/** What the drive answers: GOOD, a status, sense, or nothing at all. */
type Answer = "good" | "lost" | number | Sense | Uint8Array;

/** Plays answers in order (then GOOD), and keeps the CDBs that it saw. */
class Script implements Transport {
  readonly describe = "script";
  readonly seen: number[][] = [];

  constructor(readonly answers: Answer[]) {}

  execute(
    cdb: Uint8Array,
    _direction: DataDirection,
    _address: number,
    bytes: number,
    _timeoutMs: number,
    reply: CommandReply,
  ): void {
    this.seen.push([...cdb]);
    const answer = this.answers.shift() ?? "good";
    reply.reached = answer !== "lost";
    reply.status = typeof answer === "number" ? answer : typeof answer === "string" ? 0 : 2;
    reply.senseBytes = 0;
    reply.transferredBytes = bytes;
    if (answer instanceof Uint8Array) {
      reply.sense.set(answer);
      reply.senseBytes = answer.length;
    } else if (typeof answer === "object") {
      reply.senseBytes = encodeFixedSense(answer, reply.sense);
    }
  }

  close(): void {}
}

function play(...answers: Answer[]): { drive: TapeDrive; script: Script } {
  const script = new Script(answers);
  return { drive: new TapeDrive(script), script };
}

const reset: Sense = { key: 6, asc: 0x29, ascq: 0 };
const changed: Sense = { key: 6, asc: 0x28, ascq: 0 };

describe("outcomes", () => {
  const cases: readonly (readonly [string, Answer, DriveOutcome])[] = [
    ["GOOD", "good", "good"],
    ["BUSY", 0x08, "busy"],
    ["TASK SET FULL", 0x28, "busy"],
    ["RESERVATION CONFLICT", 0x18, "reservationConflict"],
    ["transport lost", "lost", "unreachable"],
    ["early warning: the data was written", { key: 0, asc: 0, ascq: 2, eom: true }, "earlyWarning"],
    ["early warning as a recovered error", { key: 1, asc: 0, ascq: 2, eom: true }, "earlyWarning"],
    ["recovered error: done all the same", { key: 1, asc: 0x5d, ascq: 0 }, "good"],
    ["filemark", { key: 0, asc: 0, ascq: 1, filemark: true }, "filemark"],
    ["beginning of medium", { key: 0, asc: 0, ascq: 4, eom: true }, "beginningOfMedium"],
    ["BLANK CHECK", { key: 8, asc: 0, ascq: 5 }, "endOfData"],
    ["VOLUME OVERFLOW", { key: 13, asc: 0, ascq: 2, eom: true }, "endOfMedium"],
    ["NOT READY", { key: 2, asc: 0x3a, ascq: 0 }, "notReady"],
    ["hardware error", { key: 4, asc: 0x44, ascq: 0 }, "error"],
    ["deferred (71h), whatever its key", { key: 3, asc: 0x0c, ascq: 0, deferred: true }, "deferredError"],
    ["deferred, descriptor format (73h)", new Uint8Array([0x73, 4, 0x44, 0, 0, 0, 0, 0]), "deferredError"],
    ["descriptor format (72h)", new Uint8Array([0x72, 3, 0x0c, 0, 0, 0, 0, 0]), "error"],
    ["descriptor with EOM", new Uint8Array([0x72, 0, 0, 2, 0, 0, 0, 4, 4, 2, 0, 0x40]), "earlyWarning"],
  ];
  for (const [name, answer, outcome] of cases) {
    test(`SPC-5 §4.4: ${name}`, () => {
      expect(play(answer).drive.write(0, 512)).toBe(outcome);
    });
  }

  test("key, code and information are told, from either format", () => {
    const { drive } = play(
      { key: 3, asc: 0x0c, ascq: 1, information: -5 },
      new Uint8Array([0x72, 4, 0x44, 2, 0, 0, 0, 0]),
    );
    drive.write(0, 512);
    expect([drive.senseKey, drive.asc, drive.ascq, drive.information]).toEqual([3, 0x0c, 1, -5]);
    drive.write(0, 512);
    expect([drive.senseKey, drive.asc, drive.ascq, drive.information]).toEqual([4, 0x44, 2, 0]);
  });
});

describe("rule 7: unit attentions", () => {
  test("a WRITE, a READ, a filemark and a relative SPACE report them and are sent once", () => {
    const { drive, script } = play(reset, reset, reset, reset);
    expect(drive.write(0, 512)).toBe("unitAttention");
    expect(drive.writeFilemarks(1, false)).toBe("unitAttention");
    expect(drive.read(0, 512)).toBe("unitAttention");
    expect(drive.space(0, 1)).toBe("unitAttention");
    expect(script.seen.length).toBe(4);
  });

  test("commands that neither write nor depend on the position go on past them", () => {
    const { drive, script } = play(reset, changed, "good");
    expect(drive.testUnitReady()).toBe("good");
    expect(script.seen.length).toBe(3);
    expect(drive.unitAttentions).toBe(2);
  });

  test("absolute movements pass a reset, never a changed medium", () => {
    expect(play(reset).drive.locate(5)).toBe("good");
    expect(play(changed).drive.locate(5)).toBe("unitAttention");
    expect(play(changed).drive.rewind()).toBe("unitAttention");
  });

  test("a drive that raises them for ever is reported", () => {
    expect(play(...new Array<Answer>(20).fill(reset)).drive.testUnitReady()).toBe("unitAttention");
  });
});

describe("CDBs", () => {
  test("variable and fixed WRITE(6), READ(6)", () => {
    const { drive, script } = play();
    drive.write(0, 0x123456);
    drive.read(0, 0x800000);
    drive.setBlockLength(512);
    drive.write(0, 512 * 3);
    drive.read(0, 512 * 2 + 100);
    expect(script.seen).toEqual([
      [0x0a, 0, 0x12, 0x34, 0x56, 0],
      [0x08, 0, 0x80, 0, 0, 0],
      [0x15, 0x10, 0, 0, 12, 0],
      [0x0a, 1, 0, 0, 3, 0],
      [0x08, 1, 0, 0, 2, 0],
    ]);
  });

  test("SPACE counts are signed; LOCATE takes 32 bits, or 64", () => {
    const { drive, script } = play();
    drive.space(1, -2);
    drive.spaceToEndOfData();
    drive.locate(0x89abcdef);
    drive.locate(0x1_0000_0002);
    expect(script.seen).toEqual([
      [0x11, 1, 0xff, 0xff, 0xfe, 0],
      [0x11, 3, 0, 0, 0, 0],
      [0x2b, 0, 0, 0x89, 0xab, 0xcd, 0xef, 0, 0, 0],
      [0x92, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0],
    ]);
  });

  test("the block length is sent once, and again when modes were forgotten", () => {
    const { drive, script } = play();
    drive.setBlockLength(512);
    drive.setBlockLength(512);
    drive.forgetModes();
    drive.setBlockLength(512);
    drive.setBlockLength(512, false);
    expect(script.seen.length).toBe(3);
  });
});
