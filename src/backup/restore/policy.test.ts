import { expect, test } from "bun:test";
import { S_IFBLK, S_IFDIR, S_IFLNK, S_IFREG } from "../../base/files.ts";
import { Entry, KIND, type Kind } from "../entry.ts";
import { type Existing, judgeExisting, OVERWRITE_POLICIES, UNFINISHED_MODE } from "./policy.ts";

function entryOf(kind: Kind = KIND.file): Entry {
  const entry = new Entry();
  entry.kind = kind;
  entry.sizeBytes = kind === KIND.file ? 7 : 0;
  entry.mtimeSeconds = 100;
  entry.mtimeNs = 5;
  return entry;
}

const there = (change: Partial<Existing> = {}): Existing => ({
  mode: S_IFREG | 0o644,
  sizeBytes: 7,
  mtimeSeconds: 100,
  mtimeNs: 5,
  specialDevice: 0,
  ...change,
});

/** The verdicts of never, if-changed, if-newer and always. */
const verdicts = (found: Existing, entry = entryOf(), alike = false, paranoid = false) =>
  OVERWRITE_POLICIES.map((policy) => judgeExisting(entry, found, alike, policy, paranoid)).join(" ");

test("TREE-13: what each policy does with what is there", () => {
  expect(verdicts(there())).toBe("same same same replace");
  expect(verdicts(there(), entryOf(), false, true)).toBe("compare compare compare replace");
  expect(verdicts(there({ sizeBytes: 8 }))).toBe("refuse replace keep replace");
  expect(verdicts(there({ mtimeNs: 4 }))).toBe("refuse replace replace replace");
  expect(verdicts(there({ mtimeSeconds: 101, mtimeNs: 0 }))).toBe("refuse replace keep replace");
  expect(verdicts(there({ mode: S_IFDIR | 0o755, mtimeSeconds: 99 }))).toBe("refuse replace replace replace");
});

test("links and special files that say the same are the same", () => {
  const link = there({ mode: S_IFLNK | 0o777, mtimeSeconds: 200 });
  expect(verdicts(link, entryOf(KIND.symlink), true)).toBe("same same same same");
  expect(verdicts(link, entryOf(KIND.symlink), false)).toBe("refuse replace keep replace");
  const disk = there({ mode: S_IFBLK | 0o600, specialDevice: 9 });
  expect(verdicts(disk, entryOf(KIND.block))).toBe("refuse replace keep replace");
});

test("what an interrupted restore left is made anew under every policy", () => {
  const anew = "replace replace replace replace";
  expect(verdicts(there({ mode: S_IFREG | UNFINISHED_MODE, mtimeSeconds: 999 }))).toBe(anew);
  expect(verdicts(there({ mode: S_IFREG | 0o1000, mtimeSeconds: 999 }))).toBe(anew);
  expect(verdicts(there({ mode: S_IFREG | 0o1600, mtimeSeconds: 999 }))).toBe("refuse replace keep replace");
});
