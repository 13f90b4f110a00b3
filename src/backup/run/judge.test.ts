import { expect, test } from "bun:test";
import { Entry, FLAG, KIND } from "../entry.ts";
import { isPlainMove, type Judging, judge, mayBeMoved, RACY_SECONDS, type Reason } from "./judge.ts";

const START = 1_700_000_000;
const STRICT: Judging = {
  parentStartSeconds: START,
  paranoid: false,
  trustInode: true,
  trustCtime: true,
};

function oldFile(change: (entry: Entry) => void = () => {}): Entry {
  const entry = new Entry();
  entry.setPath(Buffer.from("etc/passwd"));
  entry.mode = 0o644;
  entry.uid = 7;
  entry.gid = 8;
  entry.sizeBytes = 100;
  entry.mtimeSeconds = START - 1000;
  entry.mtimeNs = 5;
  entry.ctimeSeconds = START - 900;
  entry.ctimeNs = 6;
  entry.inodeHigh = 1;
  entry.inodeLow = 2;
  entry.hasContent = true;
  entry.addSpan(1, 0, 8, 100);
  change(entry);
  return entry;
}

const of = (kind: Entry["kind"]) => (entry: Entry) => {
  entry.kind = kind;
  entry.clearContent();
};

const FILE_CHANGES: readonly [Reason, (entry: Entry) => void][] = [
  ["unchanged", () => {}],
  ["kind", of(KIND.fifo)],
  ["size", (entry) => entry.sizeBytes++],
  ["mtime", (entry) => entry.mtimeSeconds--],
  ["mtime", (entry) => entry.mtimeNs++],
  ["inode", (entry) => entry.inodeLow++],
  ["inode", (entry) => entry.inodeHigh++],
  ["ctime", (entry) => entry.ctimeSeconds--],
  ["ctime", (entry) => entry.ctimeNs++],
  ["mode", (entry) => (entry.mode = 0o4644)],
  ["owner", (entry) => entry.uid++],
  ["owner", (entry) => entry.gid++],
  ["links", (entry) => entry.links++],
  ["attributes", (entry) => (entry.attributes = 0x10)],
];

test.each(FILE_CHANGES)("TREE-02: a file is told apart by what differs: %s", (reason, change) => {
  expect(judge(oldFile(change), oldFile(), STRICT)).toBe(reason);
});

test("TREE-02: what a backup does not keep is no change: device numbers, flags of one backup", () => {
  const then = oldFile((entry) => {
    entry.device = 5;
    entry.flags = FLAG.unchanged | FLAG.moved | FLAG.rotten;
  });
  expect(judge(oldFile(), then, STRICT)).toBe("unchanged");
});

test("TREE-02: links, devices and directories are told apart as well", () => {
  const link = (text: string) =>
    oldFile((entry) => {
      of(KIND.symlink)(entry);
      entry.linkTarget = Buffer.from(text);
    });
  expect(judge(link("a"), link("a"), STRICT)).toBe("unchanged");
  expect(judge(link("a"), link("b"), STRICT)).toBe("link text");
  expect(judge(link("a"), link("aa"), STRICT)).toBe("link text");
  const device = (number: number) =>
    oldFile((entry) => {
      of(KIND.block)(entry);
      entry.specialDevice = number;
    });
  expect(judge(device(1), device(1), STRICT)).toBe("unchanged");
  expect(judge(device(1), device(2), STRICT)).toBe("attributes");
  const directory = (flags: number) =>
    oldFile((entry) => {
      of(KIND.directory)(entry);
      entry.flags = flags;
    });
  expect(judge(directory(0), directory(FLAG.unchanged), STRICT)).toBe("unchanged");
  expect(judge(directory(FLAG.unreadable), directory(0), STRICT)).toBe("unverified content");
  expect(judge(directory(0), directory(FLAG.unreadable), STRICT)).toBe("unverified content");
  expect(judge(directory(FLAG.unreadable), directory(FLAG.unreadable), STRICT)).toBe("unchanged");
});

test("TREE-02: doubtful content is read again until it is not", () => {
  for (const flag of [FLAG.inconsistent, FLAG.unreadable]) {
    const then = oldFile((entry) => (entry.flags = flag));
    expect(judge(oldFile(), then, STRICT)).toBe("unverified content");
  }
  expect(
    judge(
      oldFile(),
      oldFile((entry) => entry.clearContent()),
      STRICT,
    ),
  ).toBe("unverified content");
});

test("TREE-02: what is as young as the parent is read: its times prove nothing", () => {
  const young = (seconds: number) => (entry: Entry) => {
    entry.mtimeSeconds = entry.ctimeSeconds = seconds;
  };
  const verdict = (seconds: number, judging = STRICT) =>
    judge(oldFile(young(seconds)), oldFile(young(seconds)), judging);
  expect(verdict(START - RACY_SECONDS - 1)).toBe("unchanged");
  for (const seconds of [START - RACY_SECONDS, START - 1, START, START + 10]) {
    expect(verdict(seconds)).toBe("racy");
    expect(verdict(seconds, { ...STRICT, paranoid: true })).toBe("racy");
  }
  // A start in the middle of a second, and either time alone.
  expect(verdict(START - RACY_SECONDS, { ...STRICT, parentStartSeconds: START + 0.9 })).toBe("unchanged");
  const onlyCtime = oldFile((entry) => (entry.ctimeSeconds = START));
  expect(judge(onlyCtime, onlyCtime, STRICT)).toBe("racy");
  expect(judge(onlyCtime, onlyCtime, { ...STRICT, trustCtime: false })).toBe("unchanged");
  const onlyMtime = oldFile((entry) => (entry.mtimeSeconds = START));
  expect(judge(onlyMtime, onlyMtime, { ...STRICT, trustCtime: false })).toBe("racy");
  const directory = oldFile((entry) => {
    of(KIND.directory)(entry);
    entry.ctimeSeconds = START;
  });
  expect(judge(directory, directory, STRICT)).toBe("racy");
});

test("TREE-02: what is not trusted is not looked at; paranoid reads all that is not changed", () => {
  const moved = oldFile((entry) => entry.inodeLow++);
  expect(judge(moved, oldFile(), { ...STRICT, trustInode: false })).toBe("unchanged");
  const changed = oldFile((entry) => entry.ctimeNs++);
  expect(judge(changed, oldFile(), { ...STRICT, trustCtime: false })).toBe("unchanged");
  expect(judge(oldFile(), oldFile(), { ...STRICT, paranoid: true })).toBe("paranoid");
  expect(judge(changed, oldFile(), { ...STRICT, paranoid: true })).toBe("ctime");
});

test("TREE-02: a file may be a moved one by its inode; it need not be read only where both times say so", () => {
  const then = oldFile();
  expect(mayBeMoved(oldFile(), then)).toBe(true);
  expect(
    mayBeMoved(
      oldFile((entry) => entry.inodeHigh++),
      then,
    ),
  ).toBe(false);
  expect(mayBeMoved(oldFile(of(KIND.fifo)), then)).toBe(false);
  expect(
    mayBeMoved(
      oldFile(),
      oldFile((entry) => entry.clearContent()),
    ),
  ).toBe(false);
  expect(
    mayBeMoved(
      oldFile(),
      oldFile((entry) => (entry.flags = FLAG.inconsistent)),
    ),
  ).toBe(false);
  expect(isPlainMove(oldFile(), then, STRICT)).toBe(true);
  expect(isPlainMove(oldFile(), then, { ...STRICT, paranoid: true })).toBe(false);
  expect(isPlainMove(oldFile(), then, { ...STRICT, trustCtime: false })).toBe(false);
  const other = (change: (entry: Entry) => void) => isPlainMove(oldFile(change), then, STRICT);
  expect(other((entry) => entry.sizeBytes++)).toBe(false);
  expect(other((entry) => entry.ctimeNs++)).toBe(false);
  expect(other((entry) => entry.mtimeNs++)).toBe(false);
  const racy = oldFile((entry) => (entry.ctimeSeconds = START));
  expect(isPlainMove(racy, racy, STRICT)).toBe(false);
});
