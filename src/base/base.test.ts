import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMalformed, parseBarcode, parseDeviceName, parseDriveId, parseSerialNumber } from "./brands.ts";
import { logOf, startLog } from "./log.ts";
import { lockState } from "./state-lock.ts";
import { formatBytes, formatCount, formatDuration, formatRate } from "./units.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), "understudy-base-"));
  directories.push(directory);
  return directory;
}

test("figures as people read them", () => {
  expect([0, 999, 1000, 1_234_567, 99_960_000, 999_999_999, -5e12].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "1.23 MB",
    "100 MB",
    "1.00 GB",
    "-5.00 TB",
  ]);
  expect(formatRate(398.4e6)).toBe("398 MB/s");
  expect([12.4, 1500, 61_000, 3_600_000, 5_400_000].map(formatDuration)).toEqual([
    "12 ms",
    "1.5 s",
    "1 min 1 s",
    "1 h",
    "1 h 30 min",
  ]);
  expect(formatCount(1_234_567)).toBe("1,234,567");
});

test("identities pass one door each, or say what was expected", () => {
  expect(
    [parseBarcode("UND001L8"), parseDeviceName("drive-1"), parseSerialNumber("A_1-z")].some(isMalformed),
  ).toBe(false);
  expect(Number(parseDriveId("12"))).toBe(12);
  for (const bad of [
    parseBarcode("und 1"),
    parseDeviceName("../x"),
    parseSerialNumber(""),
    parseDriveId("0"),
    parseDriveId("1e1"),
    parseDriveId(1.5),
  ]) {
    expect(isMalformed(bad)).toBe(true);
  }
});

test("messages: JSON a line with thread and area, braces are no placeholders, levels hold", () => {
  const lines: string[] = [];
  startLog({ level: "info", format: "json", thread: "drive 2", write: (line) => lines.push(line) });
  const log = logOf("device");
  log.debug("unheard");
  log.warning("what {is} so", { bytes: 3, error: new Error("bad") });
  startLog({ level: "error", format: "text", thread: "main", write: (line) => lines.push(line) });
  log.error("gone", { drive: "2" });
  log.info("unheard");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    level: "warning",
    thread: "drive 2",
    area: "device",
    message: "what {is} so",
    bytes: 3,
    error: "bad",
  });
  expect(lines[1]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} device: error: gone drive=2\n$/);
  expect(lines).toHaveLength(2);
});

test("a state directory is one process's; the lock dies with its holder, even by kill -9", async () => {
  const directory = join(temporary(), "state");
  const script = join(temporary(), "hold.ts");
  const module = join(import.meta.dir, "state-lock.ts");
  writeFileSync(
    script,
    `import { lockState } from ${JSON.stringify(module)}; process.stdout.write(lockState(${JSON.stringify(directory)}).kind); setInterval(() => {}, 1000);`,
  );
  const holder = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "inherit" });
  const reader = holder.stdout.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("locked");
  expect(lockState(directory)).toEqual({
    kind: "refused",
    text: `${directory}: in use by process ${holder.pid}; stop it, or name another directory: --state DIR`,
  });
  holder.kill("SIGKILL");
  await holder.exited;
  const lock = lockState(directory);
  if (lock.kind !== "locked") throw new Error(lock.text);
  lock.release();
  expect(lockState(directory).kind).toBe("locked");
});

test("a state directory that cannot be made is told with its name", () => {
  const file = join(temporary(), "file");
  writeFileSync(file, "");
  expect(lockState(join(file, "state"))).toMatchObject({
    kind: "refused",
    text: expect.stringContaining(`${file}/state: the state directory cannot be made: ENOTDIR`),
  });
  expect(existsSync(join(file, "state"))).toBeFalse();
});
