import { describe, expect, test } from "bun:test";
import { capacityAdvice, forecast, type Stored } from "./forecast.ts";

const DAY_MS = 86_400_000;

/** A full of 1000, then one a day. */
function history(bytes: readonly number[], freedBytes = 0): Stored[] {
  const full = { number: 1, atMs: 0, bytes: 1000, freedBytes: 0 };
  return [
    full,
    ...bytes.map((one, day) => ({ number: day + 2, atMs: (day + 1) * DAY_MS, bytes: one, freedBytes })),
  ];
}

describe("TREE-17: when is this store full", () => {
  test("from what was stored since the first full, less what was freed", () => {
    const found = forecast(history([100, 50, 150]), 1000, 3 * DAY_MS);
    expect(found).toEqual({ kind: "full", bytesPerDay: 100, atMs: 13 * DAY_MS });
    const paring = forecast(history([100, 50, 150], 50), 1000, 3 * DAY_MS);
    expect(paring).toEqual({ kind: "full", bytesPerDay: 50, atMs: 23 * DAY_MS });
  });
  test("paring keeps pace: steady", () => {
    expect(forecast(history([100, 100], 100), 0, DAY_MS)).toEqual({ kind: "steady", bytesPerDay: 0 });
  });
  test("too little is known, or it is full already", () => {
    expect(forecast([], 1, 0).kind).toBe("unknown");
    expect(forecast(history([5]), 1, 0).kind).toBe("unknown");
    const hour = history([5, 5]).map((one) => ({ ...one, atMs: one.atMs / 48 }));
    expect(forecast(hour, 1, 0).kind).toBe("unknown");
    expect(forecast(history([5, 5]), -10, 7)).toMatchObject({ kind: "full", atMs: 7 });
  });
  test("order is by number", () => {
    const shuffled = history([100, 50, 150]).reverse();
    expect(forecast(shuffled, 1000, 3 * DAY_MS)).toMatchObject({ bytesPerDay: 100 });
  });
});

test("TREE-17: advice on capacity: 1.5 times the primary", () => {
  expect(capacityAdvice(1000, 1500)).toMatchObject({ isEnough: true, wantedBytes: 1500 });
  expect(capacityAdvice(1001, 1500)).toMatchObject({ isEnough: false, wantedBytes: 1502 });
  expect(capacityAdvice(1000, 900).text).toContain("smaller than the primary");
});
