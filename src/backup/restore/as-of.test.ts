import { expect, test } from "bun:test";
import { chooseBackup, parseAsOf } from "./as-of.ts";

test("TREE-18: a time names all of its unit", () => {
  const at = (text: string) => Date.parse(text);
  expect(parseAsOf("2026-11-20T13:15:00Z")).toBe(at("2026-11-20T13:15:00.999Z"));
  expect(parseAsOf("2026-11-20T13:15Z")).toBe(at("2026-11-20T13:15:59.999Z"));
  expect(parseAsOf("2026-11-20T13:15:07.25+02:00")).toBe(at("2026-11-20T11:15:07.259Z"));
  expect(parseAsOf("2026-11-20 13:15:00.123456 Z")).toBe(at("2026-11-20T13:15:00.123Z"));
  expect(parseAsOf("2026-11-20 13:15")).toBe(new Date(2026, 10, 20, 13, 15, 59, 999).getTime());
  expect(parseAsOf("2026-11-20")).toBe(new Date(2026, 10, 20, 23, 59, 59, 999).getTime());
});

test("what is no time is refused", () => {
  for (const text of [
    "",
    "yesterday",
    "2026-02-30",
    "2026-13-01",
    "2026-11-20 25:00",
    "13:15",
    "2026-11-20T13:15:00+5",
  ]) {
    expect(parseAsOf(text)).toBeNull();
  }
});

test("TREE-13: a number, the latest, or the newest at or before a time", () => {
  const backups = [
    { number: 3, startedMs: 1000 },
    { number: 5, startedMs: 3000 },
    { number: 7, startedMs: 2000 },
    { number: 8, startedMs: 3000 },
  ];
  const numberOf = (which: string, asOfMs: number | null) => {
    const choice = chooseBackup(backups, which, asOfMs);
    return choice.kind === "chosen" ? choice.backup.number : choice.text;
  };
  expect(numberOf("5", null)).toBe(5);
  expect(numberOf("latest", null)).toBe(8);
  expect(numberOf("latest", 3000)).toBe(8);
  expect(numberOf("latest", 2999)).toBe(7);
  expect(numberOf("latest", 1999)).toBe(3);
  expect(numberOf("latest", 999)).toContain("no backup is that old: the oldest is 3");
  expect(numberOf("6", null)).toContain("no backup 6");
  expect(numberOf("0x5", null)).toContain("no backup 0x5");
  expect(chooseBackup([], "latest", null).kind).toBe("none");
});
