import { afterAll, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { archiveIn, backUp, describeTree, restoreTo, spawnFrom } from "../../src/backup/restore/testing.ts";

const top = mkdtempSync("/dev/shm/understudy-restore-");
afterAll(() => rmSync(top, { recursive: true, force: true }));
const spawn = spawnFrom(new URL("restore-worker.ts", import.meta.url));

/** 4000 small files, two large ones, 40 further names. */
function manyFiles(home: string): string {
  const source = join(home, "src");
  for (let d = 0; d < 40; d++) {
    const directory = join(source, `dir ${d}`);
    mkdirSync(directory, { recursive: true });
    for (let n = 0; n < 100; n++)
      writeFileSync(join(directory, `${n}`), `${d} ${n} `.repeat(1 + ((d * n) % 400)));
    linkSync(join(directory, "7"), join(source, `link ${d}`));
  }
  for (const name of ["large", "larger"]) {
    writeFileSync(join(source, name), crypto.getRandomValues(new Uint8Array(65_536)));
    const fd = openSync(join(source, name), "r+");
    for (let at = 0; at < 12_000_000; at += 65_536)
      writeSync(fd, crypto.getRandomValues(new Uint8Array(65_536)), 0, 65_536, at);
    closeSync(fd);
  }
  return source;
}

const source = manyFiles(top);
const backup = backUp([source], archiveIn(top));

test("TREE-13: several Workers restore what one thread does, and tell how far they are", async () => {
  const target = join(top, "workers");
  const seen: number[] = [];
  const left: (number | null)[] = [];
  const onProgress = ({ files, leftMs }: { files: number; leftMs: number | null }) => {
    seen.push(files);
    left.push(leftMs);
  };
  const expected = { files: 4042, bytes: 24e6 };
  const report = await restoreTo(backup, target, { workers: 3, expected }, { spawn, onProgress });
  expect(report).toMatchObject({ outcome: "done", made: 4042, links: 40, directories: 40, issues: [] });
  expect(describeTree(target)).toEqual(describeTree(source));
  expect(seen.at(-1)).toBe(4042);
  expect(left.at(-1)).toBe(0);
  rmSync(target, { recursive: true });
}, 20_000);

test("TREE-13: told to stop, it stops soon, leaves nothing half, and goes on when it is called again", async () => {
  const target = join(top, "stopped");
  let asked = 0;
  const stopped = await restoreTo(backup, target, { workers: 2 }, { spawn, stopping: () => ++asked > 900 });
  expect(stopped.outcome).toBe("stopped");
  expect(stopped.made).toBeLessThan(4042);
  const again = await restoreTo(backup, target, { workers: 2 }, { spawn });
  expect(again).toMatchObject({ outcome: "done", made: 4042 - stopped.made, same: stopped.made });
  expect(describeTree(target)).toEqual(describeTree(source));
  rmSync(target, { recursive: true });
}, 20_000);

test("TREE-13: killed at any moment and run again, it is as if it had not been", async () => {
  const target = join(top, "killed");
  const script = new URL("restore-process.ts", import.meta.url).pathname;
  const command = [process.execPath, script, backup.archivePath, "1", source, target];
  let unfinished = 0;
  for (let round = 0; round < 8; round++) {
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
    const reader = child.stdout.getReader();
    await reader.read();
    await Bun.sleep(30 + round * 25);
    child.kill("SIGKILL");
    await child.exited;
    const linked = existsSync(target)
      ? readdirSync(target).filter((name) => name.startsWith("link")).length
      : 0;
    unfinished += Number(existsSync(target) && linked < 40);
  }
  const child = Bun.spawnSync(command, { stderr: "inherit" });
  expect(child.stdout.toString()).toStartWith("begins\ndone ");
  expect(describeTree(target)).toEqual(describeTree(source));
  expect(unfinished).toBeGreaterThan(0);
}, 60_000);
