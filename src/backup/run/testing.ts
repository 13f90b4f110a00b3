/** @module For tests: a file system in memory, its scan, and a reader of it that answers a run's jobs as FileReader does.
 *  Whole runs of survey and publish, without a file. */
import { assert, present } from "../../base/assert.ts";
import { comparePaths, Entry, type EntrySource, FLAG, KIND, type Kind } from "../entry.ts";
import { type Index, openIndex } from "../index/lookup.ts";
import type { IndexPages } from "../index/pages.ts";
import { MemoryFrames } from "../index/testing.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";
import { isUntouched, linkKey, takeAttributes } from "./identity.ts";
import { DeltaOut, FullOut, type IndexOutput } from "./index-out.ts";
import { type Job, JOB_FLAG } from "./jobs.ts";
import type { Judging, Reason } from "./judge.ts";
import { type PublishCounts, publish } from "./publish.ts";
import { type Salvage, Survey } from "./survey.ts";
import { Unseen } from "./unseen.ts";

/** An inode: names lead to it. */
export interface Thing {
  kind: Kind;
  mode: number;
  content: string;
  mtime: number;
  ctime: number;
  ctimeNs: number;
  inode: number;
  xattrs: string | null;
  linkTarget: string | null;
}

/** Names to things; a directory's name stands before what is in it, whoever puts it there. Times are whole seconds and a
 *  counter of nanoseconds, so that no two changes have the same change time unless a test says so. */
export class FakeDisk {
  readonly names = new Map<string, Thing>();
  nowSeconds = 1_700_000_000;
  #ticks = 0;
  #inodes = 100;

  make(path: string, content: string, kind: Kind = KIND.file): Thing {
    const thing: Thing = {
      kind,
      mode: 0o644,
      content,
      mtime: this.nowSeconds,
      ctime: 0,
      ctimeNs: 0,
      inode: this.#inodes++,
      xattrs: null,
      linkTarget: kind === KIND.symlink ? content : null,
    };
    this.touch(thing);
    this.names.set(path, thing);
    return thing;
  }

  at(path: string): Thing {
    return present(this.names.get(path), path);
  }

  write(path: string, content: string): void {
    const thing = this.at(path);
    thing.content = content;
    thing.mtime = this.nowSeconds;
    this.touch(thing);
  }

  /** What every change of an inode does. */
  touch(thing: Thing): void {
    thing.ctime = this.nowSeconds;
    thing.ctimeNs = ++this.#ticks;
  }

  link(from: string, to: string): void {
    const thing = this.at(from);
    this.names.set(to, thing);
    this.touch(thing);
  }

  /** With all that is in it. */
  remove(path: string): void {
    for (const name of this.below(path)) {
      const thing = this.at(name);
      this.names.delete(name);
      this.touch(thing);
    }
  }

  /** Over what is there, with all that is in it: only the thing itself gets a new change time. */
  rename(from: string, to: string): void {
    const moved = this.below(from).map((name) => [name, this.at(name)] as const);
    for (const [name] of moved) this.names.delete(name);
    this.remove(to);
    for (const [name, thing] of moved) this.names.set(to + name.slice(from.length), thing);
    this.touch(this.at(to));
  }

  below(path: string): string[] {
    return [...this.names.keys()].filter((name) => name === path || name.startsWith(`${path}/`));
  }

  sorted(): string[] {
    const bytes = [...this.names.keys()].map((name) => Buffer.from(name));
    return bytes.sort((a, b) => comparePaths(a, a.length, b, b.length)).map((name) => name.toString());
  }

  entryOf(path: string, entry = new Entry()): Entry {
    const thing = this.at(path);
    entry.setPath(Buffer.from(path));
    entry.kind = thing.kind;
    entry.flags = 0;
    entry.mode = thing.mode;
    entry.sizeBytes = thing.kind === KIND.file ? thing.content.length : 0;
    entry.mtimeSeconds = thing.mtime;
    entry.ctimeSeconds = thing.ctime;
    entry.ctimeNs = thing.ctimeNs;
    entry.inodeLow = thing.inode;
    entry.device = 9;
    entry.links = 1;
    if (thing.kind !== KIND.directory) {
      entry.links = 0;
      for (const other of this.names.values()) if (other === thing) entry.links++;
    }
    entry.linkTarget = thing.linkTarget === null ? null : Buffer.from(thing.linkTarget);
    entry.xattrs = null;
    entry.clearContent();
    return entry;
  }
}

export interface FakeRunOptions {
  readonly judging?: Partial<Judging>;
  readonly salvage?: Salvage;
  /** Directories that the scan cannot look into, and other paths that it cannot look at. */
  readonly blind?: readonly string[];
  /** What cannot be read. */
  readonly locked?: readonly string[];
  /** Happens when the scan is through, before anything is read. */
  readonly between?: (disk: FakeDisk) => void;
  /** Publish is not told what the scan did not see, and nobody is rescued. */
  readonly careless?: boolean;
}

export interface FakeRun {
  readonly number: number;
  readonly startSeconds: number;
  readonly index: Index;
  /** The same, written the other way. */
  readonly twin: Index;
  readonly counts: PublishCounts;
  readonly reasons: ReadonlyMap<string, readonly Reason[]>;
  /** Paths that were read, in order. */
  readonly read: readonly string[];
  /** Paths whose content was stored. */
  readonly stored: readonly string[];
  readonly complaints: readonly string[];
  readonly isUnchanged: boolean;
}

/** One store's backups of one disk. */
export class FakeBackups {
  readonly runs: FakeRun[] = [];
  readonly #disk: FakeDisk;
  /** Content by pack and chunk. */
  readonly #chunks = new Map<string, string>();
  /** Full index and differences to it, of the last run. */
  #chain: readonly IndexPages[] = [];

  constructor(disk: FakeDisk) {
    this.#disk = disk;
  }

  get last(): FakeRun {
    return present(this.runs.at(-1), "a run");
  }

  run(options: FakeRunOptions = {}): FakeRun {
    const parent = this.runs.at(-1);
    const number = this.runs.length + 1;
    const startSeconds = this.#disk.nowSeconds;
    const reader = new FakeReader(this.#disk, number, this.#chunks, options.locked ?? []);
    const jobs: Job[] = [];
    const reasons = new Map<string, Reason[]>();
    const survey = new Survey({
      parent: parent === undefined ? null : () => parent.index.cursor(),
      judging: {
        parentStartSeconds: parent?.startSeconds ?? 0,
        paranoid: false,
        trustInode: true,
        trustCtime: true,
        ...options.judging,
      },
      salvage: options.salvage ?? null,
      send: (job) => jobs.push(job),
      explain: (entry, reason) => reasons.set(pathOf(entry), [...(reasons.get(pathOf(entry)) ?? []), reason]),
    });
    for (const batch of scanOf(this.#disk, options.blind ?? [])) survey.take(batch);
    survey.finish();
    options.between?.(this.#disk);
    const answers: Uint8Array[][] = [[], [], [], []];
    const answerAll = () => {
      for (const job of jobs.splice(0))
        present(answers[job.pass], "a pass")[job.ordinal] = reader.answer(job);
    };
    answerAll();
    if (options.careless !== true && survey.rescue(reader.strayed)) answerAll();
    const complaints: string[] = [];
    const errors = (options.blind ?? []).map((path) => ({ path: Buffer.from(path), text: "EACCES" }));
    const write = (out: IndexOutput) => {
      const counts = publish({
        draft: survey.draft,
        parent: parent?.index.cursor() ?? null,
        first: present(answers[1], "answers"),
        second: present(answers[2], "answers"),
        third: present(answers[3], "answers"),
        pack: number,
        out,
        ...(options.careless === true ? {} : { unseen: new Unseen(errors) }),
        complain: (entry, text) => complaints.push(`${pathOf(entry)}: ${text}`),
      });
      out.finish();
      return counts;
    };
    const full = new MemoryFrames();
    const counts = write(new FullOut(full, parent === undefined));
    let chain: readonly IndexPages[] = [full];
    if (parent !== undefined) {
      const delta = new MemoryFrames();
      assert(Bun.deepEquals(write(new DeltaOut(delta)), counts), "both forms count the same");
      chain = [...this.#chain, delta];
    }
    this.#chain = chain;
    const run: FakeRun = {
      number,
      startSeconds,
      index: openIndex(chain),
      twin: openIndex([full]),
      counts,
      reasons,
      read: reader.read,
      stored: reader.stored,
      complaints: complaints.slice(0, complaints.length / (parent === undefined ? 1 : 2)),
      isUnchanged: survey.isUnchanged,
    };
    this.runs.push(run);
    return run;
  }

  /** What a restore would write; null: nothing was kept. */
  contentOf(entry: Entry): string | null {
    if (!entry.hasContent) return null;
    if (entry.spanCount === 0) return "";
    assert(entry.spanCount === 1, "a file in memory is one chunk");
    const content = this.#chunks.get(`${entry.spans[0]}:${entry.spans[1]}`);
    return present(content, "a chunk");
  }
}

export function pathOf(entry: Entry): string {
  return Buffer.from(entry.path.subarray(0, entry.pathBytes)).toString();
}

export function entriesOf(source: EntrySource): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  for (let entry = new Entry(); source.next(entry); entry = new Entry()) entries.set(pathOf(entry), entry);
  return entries;
}

function scanOf(disk: FakeDisk, blind: readonly string[]): Uint8Array[] {
  const batches: Uint8Array[] = [];
  const encoder = new RecordEncoder();
  for (const path of disk.sorted()) {
    const isDirectory = disk.at(path).kind === KIND.directory;
    if (blind.some((dark) => path.startsWith(`${dark}/`) || (path === dark && !isDirectory))) continue;
    const entry = disk.entryOf(path);
    if (blind.includes(path)) entry.flags = FLAG.unreadable;
    encoder.add(entry);
    if (encoder.count < 5) continue;
    batches.push(encoder.take());
    encoder.reset();
  }
  batches.push(encoder.take());
  return batches;
}

class FakeReader {
  readonly read: string[] = [];
  readonly stored: string[] = [];
  readonly strayed = new Set<string>();
  readonly #disk: FakeDisk;
  readonly #pack: number;
  readonly #chunks: Map<string, string>;
  readonly #locked: readonly string[];

  constructor(disk: FakeDisk, pack: number, chunks: Map<string, string>, locked: readonly string[]) {
    this.#disk = disk;
    this.#pack = pack;
    this.#chunks = chunks;
    this.#locked = locked;
  }

  answer(job: Job): Uint8Array {
    const decoder = new RecordDecoder(job.records);
    const encoder = new RecordEncoder();
    const entry = new Entry();
    while (decoder.next(entry)) {
      assert((entry.flags & JOB_FLAG.probable) === 0, "a flag of the waiting ones goes no further");
      const key = linkKey(entry);
      if ((entry.flags & JOB_FLAG.trusted) === 0) this.#answer(entry);
      const isStray = (entry.flags & JOB_FLAG.gone) !== 0 || linkKey(entry) !== key;
      if (entry.kind === KIND.file && isStray) this.strayed.add(key);
      entry.flags &= ~(JOB_FLAG.trusted | JOB_FLAG.settled);
      encoder.add(entry);
    }
    return encoder.take();
  }

  #answer(entry: Entry): void {
    const path = pathOf(entry);
    const thing = this.#disk.names.get(path);
    if (thing === undefined || thing.kind !== entry.kind) {
      entry.flags |= JOB_FLAG.gone;
      return;
    }
    const xattrs = thing.xattrs === null ? null : Buffer.from(thing.xattrs);
    if (entry.kind !== KIND.file) {
      entry.xattrs = xattrs;
      return;
    }
    const expected = new Entry();
    expected.takeContent(entry);
    const flags = entry.flags;
    if (this.#locked.includes(path)) {
      if ((flags & FLAG.moved) !== 0) entry.clearContent();
      if (entry.hasContent) entry.sizeBytes = entry.spanCount === 0 ? 0 : (entry.spans[3] as number);
      entry.flags = (flags & ~FLAG.moved) | FLAG.unreadable;
      return;
    }
    this.read.push(path);
    const asScanned = new Entry();
    takeAttributes(asScanned, entry);
    this.#disk.entryOf(path, entry);
    entry.flags = flags;
    entry.xattrs = xattrs;
    entry.hasContent = true;
    Bun.SHA256.hash(thing.content, entry.sha256);
    const isExpected = expected.hasContent && Buffer.compare(entry.sha256, expected.sha256) === 0;
    if (isExpected) entry.takeContent(expected);
    else if ((flags & JOB_FLAG.settled) !== 0 && isUntouched(entry, asScanned)) {
      entry.takeContent(expected);
      entry.flags |= FLAG.rotten;
    } else {
      entry.flags &= ~FLAG.moved;
      if (entry.sizeBytes > 0) {
        const chunk = this.#chunks.size;
        this.#chunks.set(`${this.#pack}:${chunk}`, thing.content);
        entry.addSpan(this.#pack, chunk, 8, entry.sizeBytes);
        this.stored.push(path);
      }
    }
  }
}
