import { describe, expect, test } from "bun:test";
import {
  type Simulated,
  type SimulatedLine,
  type SimulationSettings,
  simulate,
  simulationFault,
} from "./simulate.ts";

const START_MS = Date.UTC(2026, 0, 1);

function settings(change: Partial<SimulationSettings>): SimulationSettings {
  return {
    days: 28,
    capacityBytes: 1e12,
    fullBytes: 1e9,
    changePerMicroBytes: 1e5,
    fullInterval: "28days",
    keepWeeklies: null,
    startMs: START_MS,
    ...change,
  };
}

function play(change: Partial<SimulationSettings>) {
  const said: Simulated[] = [...simulate(settings(change))];
  const lines = said.flatMap((one) => (one.kind === "line" ? [one.line] : []));
  const alarms = said.flatMap((one) => (one.kind === "alarm" ? [one] : []));
  return { lines, alarms };
}

function ledgerFaults(lines: readonly SimulatedLine[], capacityBytes: number): string[] {
  const faults: string[] = [];
  let [used, made] = [0, 0];
  let kept: readonly number[] = [];
  const parents = new Map<number, number | null>();
  for (const line of lines) {
    const want = (holds: boolean, fault: string) => {
      if (!holds) faults.push(`${line.at} ${line.number}: ${fault}`);
    };
    want(line.used === used + line.bytes - line.freed, "used is not the sum");
    want(line.used <= capacityBytes, "more than there is room for");
    if (line.event === "make") {
      want(line.number === ++made, "makes are counted one by one");
      want(line.freed === 0 && line.step === null, "a make frees nothing");
      want(line.parent === null || kept.includes(line.parent), "the parent is there");
      want(line.kept.join() === [...kept, line.number].join(), "kept after a make");
      parents.set(line.number, line.parent);
    } else {
      const left = kept.filter((number) => number !== line.number);
      want(line.bytes === 0 && line.step !== null, "a pare stores nothing");
      want(line.parent === parents.get(line.number), "the parent as it was made");
      want(kept.includes(line.number), "only what is there can go");
      want(line.step === "118" ? line.kept.length < kept.length : line.kept.join() === left.join(), "kept");
    }
    [used, kept] = [line.used, line.kept];
  }
  return faults;
}

test("TREE-05: 28 days with room to spare: the census, and Table 1's parents", () => {
  const { lines } = play({});
  const makes = lines.filter(({ event }) => event === "make");
  const counts = (["monthly", "weekly", "daily", "micro"] as const).map(
    (type) => makes.filter((line) => line.type === type).length,
  );
  expect(counts).toEqual([1, 3, 24, 2660]);
  expect([2, 97, 193, 673, 769].map((number) => makes[number - 1]?.parent)).toEqual([1, 1, 1, 1, 673]);
  expect(ledgerFaults(lines, 1e12)).toEqual([]);
});

test("TREE-05: number 2689 is the next full, at 28 days", () => {
  const { lines } = play({ days: 29 });
  const full = lines.find(({ number, event }) => number === 2689 && event === "make");
  expect([full?.type, full?.parent, full?.bytes, full?.at]).toEqual([
    "monthly",
    null,
    1e9,
    "2026-01-29T00:00:00Z",
  ]);
});

test("TREE-10: micros go when they are more than 7 days old, strictly, before the make of the same time", () => {
  const { lines } = play({ days: 8 });
  const first = lines.findIndex(({ event }) => event === "pare");
  const [pare, make] = lines.slice(first, first + 2);
  expect(pare).toMatchObject({
    event: "pare",
    number: 2,
    step: "100",
    at: "2026-01-08T00:30:00Z",
    parent: 1,
  });
  expect(make).toMatchObject({ event: "make", number: 675, at: "2026-01-08T00:30:00Z" });
});

test("an incremental stores what changed since its parent, at most a full; keys are in order", () => {
  const { lines } = play({ days: 15, fullBytes: 5e7 });
  expect([1, 2, 97, 673].map((number) => lines[number - 1]?.bytes)).toEqual([5e7, 1e5, 96e5, 5e7]);
  expect(Object.keys(lines[0] ?? {}).join()).toBe("at,event,number,type,parent,bytes,freed,used,step,kept");
});

describe("when room is short", () => {
  test("TREE-11: 118 goes right before a full, with its dependants, and the operator is told", () => {
    const { lines, alarms } = play({ days: 29, capacityBytes: 1.5e9 });
    const at = lines.findIndex(({ step }) => step === "118");
    expect(lines[at]).toMatchObject({ number: 1, type: "monthly", used: 0, kept: [] });
    expect(lines[at + 1]).toMatchObject({ event: "make", number: 2689, type: "monthly", used: 1e9 });
    expect(alarms.map(({ text }) => text).join()).toContain("larger device");
  });
  test("the only full stays as long as another one is not there, 118 apart", () => {
    const { lines } = play({ days: 90, capacityBytes: 2.2e9, changePerMicroBytes: 3e5 });
    let fulls: number[] = [];
    for (const { event, type, number, step, kept } of lines) {
      if (type === "monthly" && event === "make") fulls.push(number);
      if (event === "make" || step === "118") continue;
      fulls = fulls.filter((full) => kept.includes(full));
      expect(fulls.length).toBeGreaterThan(0);
    }
  });
  test("what finds no room is not made, nothing goes for it, and a lower level is made instead", () => {
    const { lines, alarms } = play({ days: 10, capacityBytes: 1.2e9, changePerMicroBytes: 1e6 });
    expect(ledgerFaults(lines, 1.2e9)).toEqual([]);
    expect(alarms.some(({ text }) => text.startsWith("no room for a daily"))).toBe(true);
    expect(alarms.some(({ text }) => text.startsWith("no room for a micro"))).toBe(true);
  });
  test("a device smaller than a full: nothing but alarms", () => {
    const { lines, alarms } = play({ days: 1, capacityBytes: 9e8 });
    expect([lines.length, alarms.length]).toEqual([0, 96]);
  });
});

test("settings whose bytes would not be exact are named", () => {
  expect(simulationFault(settings({}))).toBeNull();
  expect(simulationFault(settings({ days: 3000, fullBytes: 1e15, changePerMicroBytes: 1e15 }))).toContain(
    "too many",
  );
});
