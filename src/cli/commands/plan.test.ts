import { expect, test } from "bun:test";
import { createCli } from "../cli.ts";
import { testPorts } from "../testing.ts";
import { bytesArgument } from "./plan.ts";

async function run(text: string, readerStaysFor = Number.POSITIVE_INFINITY) {
  const said = { out: "", err: "", writes: 0 };
  const code = await createCli(
    testPorts(said, {
      outBytes: (bytes) => {
        said.out += new TextDecoder().decode(bytes);
        return ++said.writes < readerStaysFor;
      },
    }),
  ).run(["plan", "simulate", ...text.split(" ")]);
  return { code, ...said };
}

const ROOMY = "--capacity 1T --full-bytes 1G --change-per-micro 100K";

test("TREE-05: a line of JSON for each make and pare, its keys in order", async () => {
  const { code, out, err } = await run(`--days 2 ${ROOMY} --json`);
  const lines = out.trimEnd().split("\n");
  expect([code, err, lines.length]).toEqual([0, "", 192]);
  expect(lines[1]).toBe(
    '{"at":"2026-01-01T00:15:00Z","event":"make","number":2,"type":"micro","parent":1,"bytes":100000,"freed":0,"used":1000100000,"step":null,"kept":[1,2]}',
  );
  expect(JSON.parse(lines[96] ?? "")).toMatchObject({
    number: 97,
    type: "daily",
    parent: 1,
    bytes: 9_600_000,
  });
});

test("TREE-10: the pare's line names its box; the table says why", async () => {
  const { out } = await run(`--days 8 ${ROOMY} --json`);
  const pare = out.split("\n").find((line) => line.includes('"pare"')) ?? "";
  expect(JSON.parse(pare)).toMatchObject({ event: "pare", number: 2, bytes: 0, step: "100" });
  const table = (await run(`--days 8 ${ROOMY}`)).out;
  expect(table.split("\n", 1)[0]).toMatch(/^at \(UTC\) +what +number +parent +bytes +used +kept +why$/);
  expect(table).toMatch(/2026-01-08 00:30 {2}- micro +2 +1 +0 B .*100: a micro of more than 7 days/);
  expect(table).toMatch(/\nKept at the end: 1 monthly, 1 weekly, 6 daily, \d+ micro; [\d.]+ GB used\.\n$/);
});

test("alarms go to standard error, each once and with its count", async () => {
  const { code, out, err } = await run("--days 1 --capacity 5 --full-bytes 10 --change-per-micro 0 --json");
  expect([code, out]).toEqual([0, ""]);
  expect(err.split("\n").length).toBe(3);
  expect(err).toContain("no room for a monthly backup");
  expect(err).toContain("96 times in all");
});

test("the interval between fulls", async () => {
  const { out } = await run(`--days 16 --full-interval fortnight ${ROOMY} --json`);
  expect(JSON.parse(out.split("\n").find((line) => line.includes('"number":1345,')) ?? "").type).toBe(
    "monthly",
  );
});

test("a reader that is gone ends it", async () => {
  const { code, writes } = await run(`--days 28 ${ROOMY} --json`, 2);
  expect([code, writes]).toEqual([0, 2]);
});

test.each([
  [`--days 0 ${ROOMY}`, "--days"],
  [`--days 1.5 ${ROOMY}`, "--days"],
  ["--days 2", "--capacity"],
  [`--days 2 ${ROOMY} --full-interval year`, "--full-interval"],
  [`--days 2 ${ROOMY} --capacity 10X`, "--capacity"],
  [`--days 2 ${ROOMY} --full-bytes 0`, "--full-bytes"],
  [`--days 2 ${ROOMY} --change-per-micro -1`, "--change-per-micro"],
  ["--days 3000 --capacity 9P --full-bytes 1P --change-per-micro 1P", "too many"],
])("wrong: %s", async (text, named) => {
  const { code, out, err } = await run(text);
  expect([code, out, err.trimEnd().split("\n").length]).toEqual([2, "", 1]);
  expect(err).toContain(named);
});

test("bytes are read as people write them", () => {
  const given = ["0", "1500000", "12B", "2k", "1.5M", "1.5MB", "2GiB", "2Gi", "1T"];
  expect(given.map(bytesArgument)).toEqual([0, 1_500_000, 12, 2000, 1.5e6, 1.5e6, 2 ** 31, 2 ** 31, 1e12]);
  for (const bad of ["", "1.5", "-1", "1e3", "K", "5 G", "9999P"]) expect(() => bytesArgument(bad)).toThrow();
});
