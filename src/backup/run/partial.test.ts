/** @module What a run that was interrupted leaves behind, and what the next one makes of it. Killed runs: their Workers go
 *  on to say nothing, and files stay as they are at that moment; a clock that is ahead makes new files old enough. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFrameRoom } from "../archive/workspace.ts";
import { readJournal } from "../archive/journal.ts";
import { type ArchiveReader, openArchive } from "../archive/reader.ts";
import { noise, testHeader } from "../archive/testing.ts";
import { Entry, FLAG, KIND, PIECE_BYTES, SPAN_NUMBERS } from "../entry.ts";
import { openIndex } from "../index/lookup.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";
import type { ScanRules } from "../scan/messages.ts";
import { parseNameTable } from "../scan/names.ts";
import { JOB_FLAG } from "./jobs.ts";
import type { ReaderAnswer, ReaderOrder, ReaderStart } from "./messages.ts";
import { JournalSalvage, openPartial, type PartialOutcome } from "./partial.ts";
import { runBackupReader, type WorkerPort } from "./read-worker.ts";
import { emptyProgress, runBackup, type RunOutcome } from "./run.ts";
import { entriesOf } from "./testing.ts";

const room = createFrameRoom();
let folder = "";
let source = "";
beforeEach(() => {
  // Nothing of this is about a disk.
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "partial-"));
  source = join(folder, "source");
  mkdirSync(source);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

// --- records ---

const START = 1_700_000_000;

function recordOf(path: string, change: (entry: Entry) => void = () => {}): Entry {
  const entry = new Entry();
  entry.setPath(Buffer.from(path));
  entry.sizeBytes = 10;
  entry.mtimeSeconds = START - 1000;
  entry.ctimeSeconds = START - 900;
  entry.inodeLow = 7;
  entry.inodeHigh = 1;
  entry.hasContent = true;
  entry.xattrs = Uint8Array.of(path.length);
  entry.addSpan(1, 3, 8, 10);
  change(entry);
  return entry;
}

function batchOf(...entries: readonly Entry[]): Uint8Array {
  const encoder = new RecordEncoder();
  for (const entry of entries) encoder.add(entry);
  return encoder.take();
}

/** The entry as a later scan sees it. */
function laterScan(entry: Entry): Entry {
  const decoder = new RecordDecoder(batchOf(entry));
  const seen = new Entry();
  decoder.next(seen);
  seen.clearContent();
  seen.xattrs = null;
  seen.flags = 0;
  return seen;
}

const anywhere = () => true;

test("TREE-02: a file is salvaged only as it was: size, times, inode, path", () => {
  const salvage = new JournalSalvage([batchOf(recordOf("a"), recordOf("b"))], START, anywhere);
  expect(salvage.files).toBe(2);
  const found = laterScan(recordOf("b"));
  expect(salvage.contentOf(found)).toBe(true);
  expect([...found.spans.subarray(0, 4)]).toEqual([1, 3, 8, 10]);
  expect(found.xattrs).toEqual(Uint8Array.of(1));
  const changes: ((entry: Entry) => void)[] = [
    (entry) => entry.sizeBytes++,
    (entry) => entry.mtimeSeconds++,
    (entry) => entry.mtimeNs++,
    (entry) => entry.ctimeSeconds++,
    (entry) => entry.ctimeNs++,
    (entry) => entry.inodeLow++,
    (entry) => entry.inodeHigh++,
    (entry) => entry.setPath(Buffer.from("c")),
  ];
  for (const change of changes) {
    const other = laterScan(recordOf("b"));
    change(other);
    expect([salvage.contentOf(other), other.hasContent]).toEqual([false, false]);
  }
});

test("TREE-02: what is doubtful, fresh, gone or not wholly there is not salvaged", () => {
  const unfit: ((entry: Entry) => void)[] = [
    (entry) => (entry.flags = FLAG.inconsistent),
    (entry) => (entry.flags = FLAG.unreadable),
    (entry) => (entry.flags = FLAG.rotten),
    (entry) => (entry.flags = JOB_FLAG.gone),
    (entry) => entry.clearContent(),
    (entry) => (entry.mtimeSeconds = START - 3),
    (entry) => (entry.ctimeSeconds = START),
    (entry) => (entry.spans[1] = 4),
    (entry) => (entry.spans[0] = 2),
    (entry) => {
      entry.sizeBytes = 20;
      entry.addSpan(1, 4, 8, 10);
    },
  ];
  const isThere = (pack: number, chunk: number) => pack === 1 && chunk === 3;
  for (const change of unfit) {
    const salvage = new JournalSalvage([batchOf(recordOf("a", change))], START, isThere);
    expect([salvage.files, salvage.batches]).toEqual([0, []]);
    expect(salvage.contentOf(laterScan(recordOf("a", change)))).toBe(false);
  }
  const fit: ((entry: Entry) => void)[] = [
    () => {},
    (entry) => (entry.mtimeSeconds = entry.ctimeSeconds = START - 4),
    (entry) => {
      entry.clearContent();
      entry.hasContent = true;
      entry.addSpan(0, 0, 0, 10);
    },
  ];
  for (const change of fit)
    expect(new JournalSalvage([batchOf(recordOf("a", change))], START, isThere).files).toBe(1);
});

test("TREE-02: a file's last record counts, in whatever order they are asked for", () => {
  const older = recordOf("b", (entry) => (entry.spans[1] = 1));
  const salvage = new JournalSalvage(
    [
      batchOf(recordOf("a"), older, recordOf("c")),
      batchOf(recordOf("b", (entry) => (entry.spans[1] = 2))),
      batchOf(recordOf("d"), recordOf("e")),
      batchOf(recordOf("a", (entry) => (entry.flags = FLAG.unreadable))),
    ],
    START,
    anywhere,
  );
  const chunkOf = (path: string) => {
    const seen = laterScan(recordOf(path));
    return salvage.contentOf(seen) ? seen.spans[1] : null;
  };
  expect(["e", "d", "c", "b", "a", "x", "d", "e"].map(chunkOf)).toEqual([3, 3, 3, 2, null, null, 3, 3]);
  expect([salvage.files, salvage.batches.length]).toEqual([4, 3]);
});

// --- whole runs, in one thread ---

interface Fate {
  /** Answers to jobs until the process is killed. */
  answers: number;
}

/** A Worker that is none: it dies with the whole process. */
class LocalWorker extends EventTarget {
  onmessage: ((event: MessageEvent) => void) | null = null;
  readonly #port: WorkerPort = {
    onmessage: null,
    postMessage: (message) => this.#say(message as ReaderAnswer),
  };
  readonly #fate: Fate;

  constructor(fate: Fate) {
    super();
    this.#fate = fate;
  }

  postMessage(order: ReaderStart | ReaderOrder): void {
    setImmediate(() => {
      if (this.#fate.answers < 0) return;
      if ("role" in order) runBackupReader(order, this.#port);
      else this.#port.onmessage?.(new MessageEvent("message", { data: order }));
    });
  }

  terminate(): void {}

  #say(answer: ReaderAnswer): void {
    if (answer.type === "answer" && this.#fate.answers-- === 0) {
      this.dispatchEvent(new ErrorEvent("error", { message: "killed" }));
      return;
    }
    this.onmessage?.(new MessageEvent("message", { data: answer }));
  }
}

const archivePath = () => join(folder, "2.backup");
const journalPath = () => join(folder, "2.journal");

interface RunPlan {
  readonly resumed?: boolean;
  readonly killedAfter?: number;
  readonly aheadSeconds?: number;
  readonly codec?: "lz4" | "none";
  readonly number?: number;
  readonly workers?: number;
}

interface Made {
  readonly outcome: RunOutcome;
  readonly salvagedFiles: number;
  readonly readBytes: number;
}

function open({ resumed = false, aheadSeconds = 100, codec = "lz4", number = 2 }: RunPlan): PartialOutcome {
  const { salt: _, ...header } = testHeader(number, codec);
  return openPartial({
    archivePath: archivePath(),
    journalPath: journalPath(),
    resumed,
    header: { ...header, startedAtMs: Date.now() + aheadSeconds * 1000 },
    mayReferTo: () => false,
    room,
  });
}

async function make(plan: RunPlan = {}): Promise<Made> {
  const opened = open(plan);
  if (opened.kind !== "open") throw new Error(JSON.stringify(opened));
  const fate: Fate = { answers: plan.killedAfter ?? Number.MAX_SAFE_INTEGER };
  const progress = emptyProgress();
  const names = parseNameTable("");
  const rules: ScanRules = {
    roots: [new Uint8Array(Buffer.from(source.slice(1)))],
    exclude: [],
    excludeCaches: false,
    sizeMaxBytes: null,
    honourNodump: false,
    oneFileSystem: false,
    pseudo: new Map(),
    stores: [],
  };
  const outcome = await runBackup(
    {
      partial: opened.partial,
      parent: null,
      asDelta: false,
      scan: rules,
      judging: { parentStartSeconds: 0, paranoid: false, trustInode: true, trustCtime: true },
      workers: plan.workers ?? 2,
      missing: [],
      budgetBytes: null,
    },
    {
      spawn: () => new LocalWorker(fate) as unknown as Worker,
      room,
      clock: { nowMs: () => 0, wallMs: () => Date.now() },
      names: { users: names, groups: names },
      progress,
      explain: null,
    },
  );
  opened.close();
  return { outcome, salvagedFiles: opened.salvagedFiles, readBytes: progress.bytesRead };
}

/** Every file of the archive, from its chunks, is what lies in the source. */
function expectExact({ outcome }: Made): void {
  expect(outcome.kind).toBe("written");
  const opened = openArchive(archivePath(), room);
  if (opened.kind !== "archive") throw new Error(opened.text);
  const reader = opened.archive;
  const entries = entriesOf(openIndex([reader.indexPages()]).cursor());
  const files = [...entries].filter(([, { kind }]) => kind === KIND.file);
  expect(files).toHaveLength(readdirSync(source).length);
  for (const [path, entry] of files) {
    const content = Buffer.concat(contentOf(reader, entry));
    expect([path, content.equals(readFileSync(`/${path}`))]).toEqual([path, true]);
    expect([path, Buffer.from(entry.sha256).equals(Bun.SHA256.hash(content) as Uint8Array)]).toEqual([
      path,
      true,
    ]);
  }
  reader.close();
}

function contentOf(reader: ArchiveReader, entry: Entry): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < entry.spanCount * SPAN_NUMBERS; at += SPAN_NUMBERS) {
    const [pack, chunk, offset, bytes] = entry.spans.subarray(at, at + SPAN_NUMBERS) as unknown as [
      number,
      number,
      number,
      number,
    ];
    if (pack === 0) parts.push(new Uint8Array(bytes));
    else {
      const plain = reader.readChunk(chunk, room.workspace, room.storedAt, room.plainAt);
      if (typeof plain !== "number") throw new Error(plain.text);
      const from = room.plainAt + offset;
      parts.push(room.workspace.bytes.slice(from, from + bytes));
    }
  }
  return parts;
}

const FILES = 1500;
const FILE_BYTES = 2000;

/** Incompressible, so that chunks fill as files do. */
function fillSource(): void {
  for (let file = 0; file < FILES; file++)
    writeFileSync(join(source, `file ${file}`), noise(FILE_BYTES, file));
  writeFileSync(join(source, "large"), noise(3 * PIECE_BYTES + 1, 9999));
}

const journalled = () => {
  const journal = readJournal(journalPath(), room);
  if (journal.kind !== "journal") throw new Error(journal.text);
  return journal.batches;
};

test("TREE-02: a killed run is taken over: what is whole is not read again, and all is right", async () => {
  fillSource();
  const killed = await make({ killedAfter: 4 });
  expect(killed.outcome).toEqual({ kind: "failed", text: "killed" });
  const next = await make({ resumed: true, aheadSeconds: 200 });
  expect(next.salvagedFiles).toBeGreaterThan(500);
  const allBytes = FILES * FILE_BYTES + 3 * PIECE_BYTES + 1;
  expect(next.readBytes).toBeLessThanOrEqual(allBytes - next.salvagedFiles * FILE_BYTES);
  expectExact(next);
  const fresh = await make();
  expect([fresh.salvagedFiles, fresh.readBytes]).toEqual([0, allBytes]);
  expectExact(fresh);
}, 10_000);

test("TREE-02: killed again and again, with other files each time: no record outlives the chunks it names", async () => {
  fillSource();
  await make({ killedAfter: 2 });
  for (let round = 0; round < 4; round++) {
    // The first files are other ones now, so that chunks with numbers that were lost are written with other content.
    for (let file = 0; file < 40; file++)
      writeFileSync(join(source, `file ${file * 7 + round}`), noise(FILE_BYTES, 50_000 + round * 100 + file));
    const killed = await make({ resumed: true, killedAfter: 1, aheadSeconds: 200 + round });
    expect(killed.outcome.kind).toBe("failed");
  }
  const last = await make({ resumed: true, aheadSeconds: 300 });
  expect(last.salvagedFiles).toBeGreaterThan(100);
  expectExact(last);
}, 10_000);

test("TREE-02: a lost chunk's number is given out again; who was in it is read, however late", async () => {
  fillSource();
  await make({ killedAfter: 3, workers: 1 });
  // The second half of the archive never reached the disk.
  truncateSync(archivePath(), 300_000);
  const before = journalled().length;
  const next = await make({ resumed: true, killedAfter: 0, workers: 1, aheadSeconds: 200 });
  expect(next.salvagedFiles).toBeLessThan(200);
  expect(journalled().length).toBeLessThanOrEqual(before);
  const decoder = new RecordDecoder();
  const entry = new Entry();
  for (const batch of journalled()) {
    decoder.open(batch);
    while (decoder.next(entry)) expect(entry.spans[1]).toBe(0);
  }
  const last = await make({ resumed: true, workers: 1, aheadSeconds: 300 });
  expectExact(last);
}, 10_000);

test("TREE-02: files that were fresh when they were read are read again, however many runs are killed since", async () => {
  fillSource();
  await make({ killedAfter: 4, aheadSeconds: 0 });
  expect((await make({ resumed: true, killedAfter: 0, aheadSeconds: 200 })).salvagedFiles).toBe(0);
  expect((await make({ resumed: true, killedAfter: 0, aheadSeconds: 300 })).salvagedFiles).toBe(0);
}, 10_000);

test("TREE-02: files that changed since are read again, the others are not", async () => {
  fillSource();
  await make({ killedAfter: 6 });
  const changed = ["file 0", "file 1", "file 10"].map((name) => join(source, name));
  for (const path of changed) {
    const bytes = readFileSync(path);
    writeFileSync(path, noise(bytes.length, 77_777));
    utimesSync(path, 1000, 1000);
  }
  rmSync(join(source, "file 100"));
  const next = await make({ resumed: true, aheadSeconds: 200 });
  expect(next.salvagedFiles).toBeGreaterThan(100);
  expectExact(next);
}, 10_000);

test("what cannot be taken over is begun anew", async () => {
  fillSource();
  const spoilers: ((() => void) | RunPlan)[] = [
    () => rmSync(journalPath()),
    () => truncateSync(journalPath(), 10),
    () => writeFileSync(journalPath(), Buffer.alloc(100)),
    () => truncateSync(archivePath(), 100),
    () => rmSync(archivePath()),
    { codec: "none" },
    { number: 3 },
  ];
  for (const spoil of spoilers) {
    await make({ killedAfter: 2 });
    if (typeof spoil === "function") spoil();
    const plan = typeof spoil === "function" ? {} : spoil;
    const opened = open({ resumed: true, ...plan });
    expect(opened.kind === "open" && [opened.salvagedFiles, opened.partial.salvage]).toEqual([0, null]);
    if (opened.kind === "open") opened.close();
  }
  expectExact(await make({ resumed: true, aheadSeconds: 200 }));
}, 20_000);

test("a journal of another archive is not believed", async () => {
  fillSource();
  await make({ killedAfter: 4 });
  const foreign = readFileSync(journalPath());
  await make({ killedAfter: 1 });
  writeFileSync(journalPath(), foreign);
  const opened = open({ resumed: true, aheadSeconds: 200 });
  expect(opened.kind === "open" && opened.salvagedFiles).toBe(0);
  if (opened.kind === "open") opened.close();
}, 10_000);

test("a torn end of the journal costs its last batch only; what follows is behind what is whole", async () => {
  fillSource();
  await make({ killedAfter: 5 });
  const whole = journalled().length;
  appendFileSync(journalPath(), Buffer.from("torn"));
  const opened = open({ resumed: true, aheadSeconds: 200 });
  if (opened.kind !== "open") throw new Error("not open");
  expect(opened.salvagedFiles).toBeGreaterThan(0);
  opened.partial.journal(batchOf(recordOf("later")));
  opened.close();
  expect(journalled().length).toBeLessThanOrEqual(whole + 1);
  const last = new Entry();
  new RecordDecoder(journalled().at(-1) as Uint8Array).next(last);
  expect(Buffer.from(last.path.subarray(0, last.pathBytes)).toString()).toBe("later");
}, 10_000);

test("a record too long for a journal is left out, and those behind it are not", () => {
  const opened = open({});
  if (opened.kind !== "open") throw new Error("not open");
  const huge = recordOf("huge", (entry) => {
    entry.pieceHashes = new BigUint64Array(2_200_000);
  });
  opened.partial.journal(batchOf(huge));
  opened.partial.journal(batchOf(recordOf("small")));
  opened.close();
  expect(journalled()).toHaveLength(1);
});

test("an archive that cannot be made, or sources without end, are told", () => {
  const { salt: _, ...header } = testHeader(2);
  const request = {
    archivePath: join(folder, "nowhere", "2.backup"),
    journalPath: journalPath(),
    resumed: false,
    header,
    mayReferTo: anywhere,
    room,
  };
  expect(openPartial(request)).toMatchObject({ kind: "failed" });
  const roots = Array.from({ length: 20_000 }, () => new Uint8Array(4000).fill(0x61));
  expect(openPartial({ ...request, archivePath: archivePath(), header: { ...header, roots } })).toMatchObject(
    { kind: "failed" },
  );
});
