/** @module The scan with real Workers: the order holds whoever was given what, and whatever happens to the tree meanwhile. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { comparePaths, Entry } from "../../src/backup/entry.ts";
import { RecordDecoder } from "../../src/backup/index/record.ts";
import { scanTree } from "../../src/backup/scan/scan.ts";
import { defaultSelection, resolveRoots, scanRules } from "../../src/backup/scan/selection.ts";

let folder = "";
let workers: Worker[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "scan-workers-"));
  workers = Array.from({ length: 3 }, () => new Worker(new URL("./scan-worker.ts", import.meta.url).href));
});
afterAll(() => {
  for (const worker of workers) worker.terminate();
  rmSync(folder, { recursive: true, force: true });
});

async function scan(root: string, onBatch: () => void = () => {}) {
  const outcome = resolveRoots([Buffer.from(root)]);
  if (outcome.kind !== "roots") throw new Error(outcome.text);
  const rules = scanRules({ ...defaultSelection(), exclude: [] }, outcome.roots, []);
  const scanning = scanTree(rules, workers);
  const decoder = new RecordDecoder();
  const [now, before] = [new Entry(), new Entry()];
  let count = 0;
  for await (const batch of scanning.batches()) {
    decoder.open(batch);
    while (decoder.next(now)) {
      const order = comparePaths(before.path, before.pathBytes, now.path, now.pathBytes);
      if (count++ > 0 && order >= 0) throw new Error("out of order");
      before.setPath(now.path.subarray(0, now.pathBytes));
    }
    onBatch();
  }
  scanning.detach();
  return { count, counters: scanning.counters, errors: scanning.errors };
}

/** `folders` folders of `files` files, some within others. */
function grow(root: string, folders: number, files: number): void {
  for (let number = 0; number < folders; number++) {
    const dir = join(root, `d${number % 7}`, `e${number % 31}`, `f${number}`);
    mkdirSync(dir, { recursive: true });
    for (let file = 0; file < files; file++) writeFileSync(join(dir, `file-${file}`), "");
  }
}

test("TREE-06: several Workers list each entry once, in order", async () => {
  const root = join(folder, "still");
  grow(root, 300, 20);
  const found = Bun.spawnSync(["find", root, "-printf", "x"]).stdout.length;
  for (let round = 0; round < 3; round++) {
    const { count, counters, errors } = await scan(root);
    expect(count).toBe(found);
    expect(counters.files).toBe(6000);
    expect(errors).toEqual([]);
  }
}, 20_000);

test("a tree that changes under the scan gives a list in order all the same", async () => {
  const root = join(folder, "moving");
  grow(root, 300, 20);
  let goesOn = true;
  let turn = 0;
  const churn = async () => {
    while (goesOn) {
      const number = turn++ % 300;
      const parent = join(root, `d${number % 7}`, `e${number % 31}`);
      const dir = join(parent, `f${number}`);
      const action = turn % 4;
      if (action === 0) rmSync(dir, { recursive: true, force: true });
      else if (action === 1) grow(root, 3, 3);
      else if (action === 2) writeFileSync(join(root, `new-${turn}`), "");
      else
        try {
          renameSync(dir, join(root, `moved-${turn}`));
        } catch {
          // Gone already: that is the point.
        }
      if (turn % 8 === 0) await Bun.sleep(0);
    }
  };
  const churning = churn();
  for (let round = 0; round < 10; round++) expect((await scan(root)).count).toBeGreaterThan(300);
  goesOn = false;
  await churning;
}, 30_000);
