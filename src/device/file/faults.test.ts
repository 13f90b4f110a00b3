import { describe, expect, test } from "bun:test";
import { isMalformed } from "../../base/brands.ts";
import {
  DriveFaults,
  deferredMediumError,
  describeFaultRule,
  type FaultRule,
  hardwareError,
  mediumError,
  parseFaultRule,
} from "./faults.ts";

function rule(text: string): FaultRule {
  const parsed = parseFaultRule(text);
  if (isMalformed(parsed)) throw new Error(`${parsed.given}: expected ${parsed.expected}`);
  return parsed;
}

describe("words", () => {
  const cases: readonly (readonly [string, FaultRule])[] = [
    ["on write 400: hardware error", { when: { command: "write", number: 400 }, what: hardwareError }],
    [
      "on write at block 1000: medium error",
      { when: { command: "write", atBlock: 1000 }, what: mediumError },
    ],
    [
      "ON  WriteFileMarks 2 persistent :  Deferred   Error",
      { when: { command: "writeFilemarks", number: 2, persistent: true }, what: deferredMediumError },
    ],
    [
      "on read: hang",
      { when: { command: "read", number: 1 }, what: { kind: "hang", durationMs: Number.POSITIVE_INFINITY } },
    ],
    [
      "on any 3: hang 250 ms",
      { when: { command: "any", number: 3 }, what: { kind: "hang", durationMs: 250 } },
    ],
    [
      "on locate: hang 2 s",
      { when: { command: "locate", number: 1 }, what: { kind: "hang", durationMs: 2000 } },
    ],
    [
      "on write 5: vanish",
      { when: { command: "write", number: 5 }, what: { kind: "vanish", loseBuffer: true } },
    ],
    [
      "on write 5: vanish keep buffer",
      { when: { command: "write", number: 5 }, what: { kind: "vanish", loseBuffer: false } },
    ],
    ["on write 7: no answer", { when: { command: "write", number: 7 }, what: { kind: "noAnswer" } }],
    ["on write: write protect", { when: { command: "write", number: 1 }, what: { kind: "writeProtect" } }],
    ["on unload: stuck", { when: { command: "unload", number: 1 }, what: { kind: "stuck" } }],
    [
      "on write 2: sense 3/5100 lose buffer",
      {
        when: { command: "write", number: 2 },
        what: { kind: "sense", key: 3, asc: 0x51, ascq: 0, deferred: false, loseBuffer: true },
      },
    ],
  ];
  for (const [text, expected] of cases) {
    test(text, () => {
      expect(rule(text)).toEqual(expected);
    });
  }

  test("what is described is parsed back to the same", () => {
    for (const [, expected] of cases) {
      if (expected.what.kind === "vanish" || expected.what.kind === "sense") continue;
      expect(rule(describeFaultRule(expected))).toEqual(expected);
    }
    expect(describeFaultRule(rule("on write 400: hardware error"))).toBe("on write 400: hardware error");
    expect(describeFaultRule(rule("on write 2: 3/5100"))).toBe("on write 2: sense 3/5100");
  });

  for (const [text, expected] of [
    ["write 400: hardware error", "on COMMAND"],
    ["on fly 4: hardware error", "a command: any, write"],
    ["on write 0: medium error", "from 1 on"],
    ["on write 4: explode", "hardware error, medium error"],
    ["on write 4", "on COMMAND"],
    ["", "on COMMAND"],
  ] as const) {
    test(`"${text}" says what was expected`, () => {
      const parsed = parseFaultRule(text);
      expect(isMalformed(parsed) && parsed.expected).toContain(expected);
    });
  }
});

describe("rules", () => {
  test("the Nth command from arming on, once", () => {
    const faults = new DriveFaults();
    faults.meet("write", 0);
    faults.arm(rule("on write 2: medium error"));
    expect(faults.meet("read", 0)).toBeNull();
    expect(faults.meet("write", 1)).toBeNull();
    expect(faults.meet("write", 2)).toEqual(mediumError);
    expect(faults.meet("write", 3)).toBeNull();
  });

  test("at or behind a block; persistent ones go on", () => {
    const faults = new DriveFaults();
    faults.arm(rule("on write at block 10 persistent: medium error"));
    expect(faults.meet("write", 9)).toBeNull();
    expect(faults.meet("write", 12)).toEqual(mediumError);
    expect(faults.meet("write", 0)).toEqual(mediumError);
    faults.clear();
    expect(faults.meet("write", 12)).toBeNull();
  });
});
