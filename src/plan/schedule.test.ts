import { describe, expect, test } from "bun:test";
import { DEFAULT_SCHEDULE, due, type Made, next, type ScheduleSettings, scheduleFaults } from "./schedule.ts";
import { LEVELS, type Level } from "./tree.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const utc = (text: string) => Date.parse(`${text}Z`);

type Change = Omit<Partial<ScheduleSettings>, "full"> & { full?: Partial<ScheduleSettings["full"]> };

function settings(change: Change = {}): ScheduleSettings {
  return { ...DEFAULT_SCHEDULE, ...change, full: { ...DEFAULT_SCHEDULE.full, ...change.full } };
}

/** Asks every so often, and makes what is due. */
class Machine {
  readonly made: Made[] = [];
  readonly #settings: ScheduleSettings;

  constructor(change: Change = {}) {
    this.#settings = settings(change);
  }

  run(fromMs: number, toMs: number, everyMs = 5 * MINUTE_MS): this {
    for (let atMs = fromMs; atMs < toMs; atMs += everyMs) this.ask(atMs);
    return this;
  }

  ask(atMs: number): Level | null {
    const found = due(this.#settings, this.made.slice(-5000), atMs);
    if (found !== null) this.made.push({ number: this.made.length + 1, level: found.level, atMs });
    return found?.level ?? null;
  }

  /** Times of a level, in UTC. */
  times(level: Level): string[] {
    return this.made
      .filter((made) => made.level === level)
      .map(({ atMs }) => new Date(atMs).toISOString().slice(0, 16));
  }

  counts(): number[] {
    return LEVELS.map((level) => this.times(level).length);
  }
}

test("TREE-05: a 28-day month has 1 monthly, 3 weekly, 24 daily, 2660 micro, and the next is the next monthly", () => {
  const start = utc("2026-01-05T00:00");
  const newest = new Map<Level, Made>();
  const counts = new Map<Level, number>();
  const sequence: [number, Level][] = [];
  for (let number = 1; number <= 2689; number++) {
    const atMs = start + (number - 1) * 15 * MINUTE_MS;
    const level = due(DEFAULT_SCHEDULE, [...newest.values()], atMs)?.level ?? "micro";
    newest.set(level, { number, level, atMs });
    if (number <= 2688) counts.set(level, (counts.get(level) ?? 0) + 1);
    if (level !== "micro") sequence.push([number, level]);
  }
  expect(LEVELS.map((level) => counts.get(level))).toEqual([1, 3, 24, 2660]);
  expect(sequence.slice(0, 3).map(([number]) => number)).toEqual([1, 97, 193]);
  expect(sequence.filter(([, level]) => level !== "daily")).toEqual([
    [1, "monthly"],
    [673, "weekly"],
    [1345, "weekly"],
    [2017, "weekly"],
    [2689, "monthly"],
  ]);
});

describe("TREE-04: days, times, intervals", () => {
  const year = [utc("2026-01-01T00:00"), utc("2027-01-01T00:00")] as const;
  const bare: Change = { micro: null, daily: null, weekly: null };
  test.each([
    ["28days", 14],
    ["fortnight", 27],
    ["month", 12],
    ["quarter", 4],
  ] as const)("a full every %s", (every, count) => {
    const machine = new Machine({ ...bare, full: { every } }).run(...year, HOUR_MS);
    expect(machine.counts()).toEqual([count, 0, 0, 0]);
  });
  test("a day of the month that a month has not is its last", () => {
    const full = { every: "month", dayOfMonth: 31, time: "22:30" } as const;
    const machine = new Machine({ ...bare, full }).run(utc("2026-01-31T22:30"), utc("2026-05-15T00:00"));
    const [, ...rest] = machine.times("monthly");
    expect(rest).toEqual(["2026-02-28T22:30", "2026-03-31T22:30", "2026-04-30T22:30"]);
  });
  test("quarters begin with the month of the anchor; 28 days with its day", () => {
    const quarter = { every: "quarter", anchorDate: "2025-02-01", dayOfMonth: 3 } as const;
    const quarters = new Machine({ ...bare, full: quarter }).run(...year, HOUR_MS).times("monthly");
    expect(quarters.slice(1).map((time) => time.slice(5, 10))).toEqual(["02-03", "05-03", "08-03", "11-03"]);
    const notional = { every: "28days", anchorDate: "2026-01-12" } as const;
    const days = new Machine({ ...bare, full: notional }).run(...year, HOUR_MS).times("monthly");
    expect(days.slice(0, 3).map((time) => time.slice(5, 10))).toEqual(["01-01", "01-12", "02-09"]);
  });
  test("weekday and times of day, each its own; micros every hour", () => {
    const machine = new Machine({
      full: { every: "month", time: "20:00" },
      weekly: { weekday: 7, time: "21:15" },
      daily: { time: "23:30" },
      micro: { intervalMinutes: 60 },
    }).run(utc("2026-01-01T20:00"), utc("2026-01-13T00:00"));
    expect(machine.times("monthly")).toEqual(["2026-01-01T20:00"]);
    expect(machine.times("weekly")).toEqual(["2026-01-04T21:15", "2026-01-11T21:15"]);
    expect(machine.times("daily").slice(0, 2)).toEqual(["2026-01-01T23:30", "2026-01-02T23:30"]);
    expect(
      machine
        .times("micro")
        .slice(0, 4)
        .map((time) => time.slice(11)),
    ).toEqual(["21:00", "22:00", "23:00", "00:00"]);
  });
  test("weeklies every seventh day after a full, which stands for one, whatever the hours of both", () => {
    for (const [full, weekly] of [
      ["03:00", "01:00"],
      ["01:00", "03:00"],
    ] as const) {
      const machine = new Machine({
        full: { time: full },
        weekly: { weekday: null, time: weekly },
        daily: null,
      });
      machine.run(utc(`2026-01-01T${full}`), utc("2026-02-27T00:00"), HOUR_MS);
      expect(machine.times("monthly").map((time) => time.slice(5, 10))).toEqual(["01-01", "01-29", "02-26"]);
      expect(machine.times("weekly").map((time) => time.slice(5, 10))).toEqual([
        "01-08",
        "01-15",
        "01-22",
        "02-05",
        "02-12",
        "02-19",
      ]);
    }
  });
  test("a late first full is not made again a day later", () => {
    const machine = new Machine({ full: { time: "23:00" } }).run(
      utc("2026-01-05T00:10"),
      utc("2026-01-20T00:00"),
    );
    expect(machine.times("monthly")).toEqual(["2026-01-05T00:10"]);
  });
});

describe("TREE-04: daylight saving (Europe/Berlin)", () => {
  const timeZone = "Europe/Berlin";
  const began: Made = { number: 1, level: "monthly", atMs: utc("2026-03-01T12:00") };
  const dayOf = (fromLocal: string, change: Change = {}) => {
    const machine = new Machine({ timeZone, full: { every: "quarter" }, weekly: null, ...change });
    machine.made.push({
      ...began,
      atMs: utc(fromLocal.startsWith("2026-03") ? "2026-01-01T00:00" : "2026-10-01T00:00"),
    });
    const from = Temporal.PlainDate.from(fromLocal).toZonedDateTime(timeZone);
    machine.run(from.epochMilliseconds, from.add({ days: 1 }).epochMilliseconds, MINUTE_MS);
    return machine;
  };
  test("a day of 23 hours has 92 quarters, one of 25 has 100, and one daily each", () => {
    expect(dayOf("2026-03-28").counts()).toEqual([1, 0, 1, 95]);
    expect(dayOf("2026-03-29").counts()).toEqual([1, 0, 1, 91]);
    expect(dayOf("2026-10-25").counts()).toEqual([1, 0, 1, 99]);
  });
  test("a time that is skipped comes as much later; one that comes twice counts once, the first time", () => {
    const change: Change = { daily: { time: "02:30" }, micro: null };
    expect(dayOf("2026-03-29", change).times("daily").at(-1)).toBe("2026-03-29T01:30");
    expect(dayOf("2026-10-25", change).times("daily").at(-1)).toBe("2026-10-25T00:30");
    expect(dayOf("2026-10-25", change).times("daily").length).toBe(2);
  });
  test("the wall clock counts: a daily at 23:30 stays at 23:30", () => {
    const machine = new Machine({
      timeZone,
      full: { every: "quarter" },
      weekly: null,
      micro: null,
      daily: { time: "23:30" },
    });
    machine.run(utc("2026-03-27T12:00"), utc("2026-03-31T12:00"));
    expect(machine.times("daily").map((time) => time.slice(11))).toEqual([
      "22:30",
      "22:30",
      "21:30",
      "21:30",
    ]);
  });
});

describe("TREE-04: missed runs are caught up once", () => {
  test("three weeks off: one weekly does for all that was missed, then micros go on", () => {
    const machine = new Machine();
    machine.run(utc("2026-01-01T00:00"), utc("2026-01-02T00:00"));
    const back = utc("2026-01-23T10:07");
    expect([0, 1, 8, 23].map((minutes) => machine.ask(back + minutes * MINUTE_MS))).toEqual([
      "weekly",
      null,
      "micro",
      "micro",
    ]);
  });
  test("two months off: one full", () => {
    const machine = new Machine();
    machine.run(utc("2026-01-01T00:00"), utc("2026-01-02T00:00"));
    const back = utc("2026-03-05T10:07");
    expect([machine.ask(back), machine.ask(back + MINUTE_MS)]).toEqual(["monthly", null]);
  });
  test("an empty history wants a full at once", () => {
    expect(new Machine().ask(utc("2026-01-01T13:13"))).toBe("monthly");
    expect(next(settings(), [], 5)).toEqual({ level: "monthly", atMs: 5 });
  });
});

describe("TREE-04: a clock set back does no harm", () => {
  test("an hour: no second daily for the same day, and micros go on at once", () => {
    const machine = new Machine();
    machine.run(utc("2026-01-01T00:00"), utc("2026-01-03T00:31"));
    const before = machine.made.length;
    expect(machine.times("daily").length).toBe(2);
    machine.run(utc("2026-01-02T23:31"), utc("2026-01-03T01:31"));
    expect(machine.times("daily").length).toBe(2);
    expect(machine.made.slice(before).every(({ level }) => level === "micro")).toBe(true);
    expect(machine.made.length - before).toBe(8);
  });
  test("a clock that showed 2030 for an hour: the plan goes on as if it had not", () => {
    const machine = new Machine();
    machine.run(utc("2026-01-01T00:00"), utc("2026-01-09T06:00"));
    machine.run(utc("2030-06-01T00:00"), utc("2030-06-01T01:00"));
    machine.run(utc("2026-01-09T07:00"), utc("2026-01-16T07:00"));
    const since = machine.made.filter(
      ({ atMs }) => atMs >= utc("2026-01-09T07:00") && atMs < utc("2027-01-01T00:00"),
    );
    expect(since.length).toBe(7 * 96);
    expect(since.filter(({ level }) => level === "daily").length).toBeGreaterThanOrEqual(5);
    expect(since.filter(({ level }) => level === "monthly").length).toBeLessThanOrEqual(1);
  });
});

describe("when the next is due", () => {
  const made = (number: number, level: Level, time: string): Made => ({ number, level, atMs: utc(time) });
  test("the earliest slot of any level, and now if one is due now", () => {
    const history = [made(1, "monthly", "2026-01-01T00:00"), made(2, "micro", "2026-01-01T23:45")];
    const at = utc("2026-01-01T23:50");
    expect(next(settings(), history, at)).toEqual({ level: "daily", atMs: utc("2026-01-02T00:00") });
    expect(next(settings(), history, at + DAY_MS)).toEqual({ level: "daily", atMs: at + DAY_MS });
    expect(next(settings({ daily: null, micro: null }), history, at)).toEqual({
      level: "weekly",
      atMs: utc("2026-01-08T00:00"),
    });
  });
  test("a slot that has its backup already, the clock having been set back, is passed over", () => {
    const history = [made(1, "monthly", "2026-01-01T00:00"), made(2, "daily", "2026-01-02T00:00")];
    const found = next(settings({ micro: null }), history, utc("2026-01-01T22:00"));
    expect(found).toEqual({ level: "daily", atMs: utc("2026-01-03T00:00") });
  });
});

test("settings that cannot work are named", () => {
  expect(scheduleFaults(DEFAULT_SCHEDULE)).toEqual([]);
  const bad = settings({
    timeZone: "Mars/Olympus",
    full: { time: "24:00", dayOfMonth: 32, anchorDate: "2026-02-30" },
    weekly: { weekday: 8, time: "1:00" },
    micro: { intervalMinutes: 0 },
  });
  const named = scheduleFaults(bad).map((fault) => fault.split(":")[0]);
  expect(named.sort()).toEqual([
    "full.anchorDate",
    "full.dayOfMonth",
    "full.time",
    "micro.intervalMinutes",
    "timeZone",
    "weekly.time",
    "weekly.weekday",
  ]);
});
