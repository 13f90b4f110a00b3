import { afterAll, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  utimesSync,
  readFileSync,
  existsSync,
  linkSync,
} from "node:fs";
import { join } from "node:path";
import { archiveIn, backUp, describeTree, restoreTo } from "./testing.ts";

const top = mkdtempSync("/dev/shm/understudy-restore-");
afterAll(() => rmSync(top, { recursive: true, force: true }));
let folders = 0;
const folder = () => {
  const path = join(top, String(++folders));
  mkdirSync(path);
  return path;
};

test("TREE-13: a tree comes back as it was", async () => {
  const home = folder();
  const source = join(home, "src");
  mkdirSync(join(source, "a/b"), { recursive: true });
  writeFileSync(join(source, "a/one"), "one");
  writeFileSync(join(source, "a/b/empty"), "");
  writeFileSync(join(source, "a/b/large"), Buffer.alloc(700_000, "some text "));
  linkSync(join(source, "a/one"), join(source, "a/b/one"));
  symlinkSync("../nowhere", join(source, "link"));
  utimesSync(join(source, "a"), 1, 2);
  const backup = backUp([source], archiveIn(home));
  const target = join(home, "new/dst");
  const report = await restoreTo(backup, target);
  expect(report).toMatchObject({ outcome: "done", made: 5, links: 1, directories: 2, issues: [] });
  expect(describeTree(target)).toEqual(describeTree(source));
  expect(readFileSync(join(target, "a/b/one"), "utf8")).toBe("one");
  expect(await restoreTo(backup, target)).toMatchObject({ outcome: "done", made: 0, same: 5 });
  expect(existsSync(join(target, "nowhere"))).toBe(false);
});
