/** @module docs/COVERAGE.md holds what it says: each test that it names exists in the file that it names, and a row that
 *  is called done, or done in part, has a test that bears its id. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const PAGE = readFileSync(join(ROOT, "docs", "COVERAGE.md"), "utf8");
const STATES = ["done", "partly", "open"] as const;
const TREE_ROWS = 18;
/** The numbers of the rows; some have branches of their own, as 17a. */
const RED_ROWS = 33;
const REST = " (...)";

interface Citation {
  readonly file: string;
  readonly name: string;
}

interface Row {
  readonly id: string;
  readonly state: string;
  readonly citations: readonly Citation[];
  readonly text: string;
}

function citationsOf(text: string): Citation[] {
  return [...text.matchAll(/^- `([^`]+\.ts)`: (.+)$/gm)].map(([, file = "", name = ""]) => ({
    file,
    name: name.endsWith(REST) ? name.slice(0, -REST.length) : name,
  }));
}

function rowsOf(page: string): Row[] {
  const headed = page.split(/^### /m).slice(1);
  return headed.map((part) => {
    const [, id = "", state = ""] = /^(\S+) · (\S+)\n/.exec(part) ?? [];
    const text = part.split(/^## /m)[0] ?? "";
    return { id, state, text, citations: citationsOf(text) };
  });
}

/** Does the name of a test bear this id? `RED-17: ...` is a test of its branches too; `RED-02, 09: ...` of RED-09, and
 *  `TREE-09, TREE-06: ...` of both. */
function bears(name: string, id: string): boolean {
  const whole = id.replace(/[a-z]$/, "");
  const ids = [...name.matchAll(/(RED|TREE)-(\d+[a-z]?(?:, \d+[a-z]?)*)/g)].flatMap(([, kind, list = ""]) =>
    list.split(", ").map((number) => `${kind}-${number}`),
  );
  return ids.includes(id) || ids.includes(whole);
}

/** Source of a test file without the backslashes of its strings. */
function sourceOf(file: string): string {
  return readFileSync(join(ROOT, file), "utf8").replaceAll("\\", "");
}

test("every row is there, once, with a state", () => {
  const rows = rowsOf(PAGE);
  expect(rows.filter(({ state }) => !STATES.some((one) => one === state))).toEqual([]);
  const ids = rows.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const numbers = (prefix: string) =>
    new Set(
      ids.filter((id) => id.startsWith(prefix)).map((id) => Number.parseInt(id.slice(prefix.length), 10)),
    );
  expect(numbers("RED-").size).toBe(RED_ROWS);
  expect(numbers("TREE-").size).toBe(TREE_ROWS);
});

test("every test that is named exists", () => {
  const missing = citationsOf(PAGE).filter(
    ({ file, name }) => !existsSync(join(ROOT, file)) || !sourceOf(file).includes(name),
  );
  expect(missing).toEqual([]);
});

test("a row that is done, or partly, has tests that bear its id; what is partly done says what is open", () => {
  const rows = rowsOf(PAGE).filter(({ state }) => state !== "open");
  expect(rows.length).toBeGreaterThan(10);
  const without = rows.filter(({ id, citations }) => !citations.some(({ name }) => bears(name, id)));
  expect(without.map(({ id }) => id)).toEqual([]);
  const silent = rows.filter(({ state, text }) => state === "partly" && !/^Open: \S/m.test(text));
  expect(silent.map(({ id }) => id)).toEqual([]);
});

test("the check itself: what is not there is missed", () => {
  expect(bears("RED-02, 09, 11: schedules", "RED-09")).toBe(true);
  expect(bears("RED-17: closed", "RED-17a")).toBe(true);
  expect(bears("RED-17b: no R2T", "RED-17a")).toBe(false);
  expect(bears("RED-10: BUSY", "RED-01")).toBe(false);
  expect(bears("TREE-03, 08, 13: killed", "TREE-13")).toBe(true);
  expect(bears("TREE-09, TREE-06: an archive", "TREE-06")).toBe(true);
  expect(bears("TREE-09: an archive", "RED-09")).toBe(false);
});
