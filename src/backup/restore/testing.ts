/** @module For tests: backs a small tree up into one archive, in the calling thread and without the run's machinery, and
 *  gives what a restore needs of it. */
import { join } from "node:path";
import { present } from "../../base/assert.ts";
import { systemClock } from "../../base/clock.ts";
import { O_RDONLY, preadFully } from "../../base/ffi.ts";
import {
  CPath,
  closeFd,
  getdents64,
  NativeBuffer,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  readlinkat,
  Statx,
} from "../../base/files.ts";
import { pathHash16, writePieceHeader } from "../archive/chunk-writer.ts";
import { CHUNK_PLAIN_BYTES_MAX, PIECE_HEADER_BYTES } from "../archive/layout.ts";
import { openArchive } from "../archive/reader.ts";
import { TestArchive, testHeader } from "../archive/testing.ts";
import { createFrameRoom } from "../archive/workspace.ts";
import { comparePaths, Entry, KIND, PIECE_BYTES } from "../entry.ts";
import { FullIndexWriter } from "../index/full.ts";
import { type Index, openIndex } from "../index/lookup.ts";
import { DataRuns } from "../scan/data-runs.ts";
import { entryFromStatx } from "../scan/entries.ts";
import { Opener } from "../scan/open.ts";
import { XattrReader } from "../scan/xattrs.ts";
import { SAME_IDENTITIES } from "./attributes.ts";
import { openMounts, type Root } from "./mounts.ts";
import { type RestorePorts, type RestoreReport, type RestoreRequest, restore } from "./restore.ts";
import { selectPaths } from "./select.ts";
import { isMalformed } from "../../base/brands.ts";

export interface TestBackup {
  readonly index: Index;
  readonly packs: ReadonlyMap<number, string>;
  readonly roots: readonly Root[];
  readonly archivePath: string;
}

/** `roots`: absolute paths in order. `alter` may change an entry before it goes into the index. */
export function backUp(
  roots: readonly string[],
  archivePath: string,
  number = 1,
  alter: (entry: Entry) => void = () => {},
): TestBackup {
  const archive = new TestArchive(archivePath, testHeader(number));
  const packer = new Packer(archive, number, alter);
  const found = roots.map((root) => packer.tree(Buffer.from(root.slice(1))));
  packer.flush();
  archive.begin();
  const writer = new FullIndexWriter(archive.finisher);
  for (const entry of packer.entries) writer.add(entry);
  writer.finish();
  archive.end({ entries: packer.entries.length, files: packer.entries.length });
  return openBackup(archivePath, number, found);
}

export function openBackup(archivePath: string, number: number, roots: readonly Root[]): TestBackup {
  const opened = openArchive(archivePath, createFrameRoom());
  if (opened.kind !== "archive") throw new Error(opened.text);
  const index = openIndex([opened.archive.indexPages()]);
  return { index, packs: new Map([[number, archivePath]]), roots, archivePath };
}

export interface RestoreOptions
  extends Partial<Omit<RestoreRequest, "paths" | "index" | "packs" | "mounts">> {
  readonly paths?: readonly string[];
}

/** Restores in the calling thread, unless `ports` has Workers. `directory` null: in place. */
export async function restoreTo(
  backup: TestBackup,
  directory: string | null,
  options: RestoreOptions = {},
  ports: Partial<RestorePorts> = {},
): Promise<RestoreReport> {
  const { paths: texts, ...rest } = options;
  const selected =
    texts === undefined
      ? null
      : selectPaths(
          texts.map((text) => Buffer.from(text, "latin1")),
          backup.roots.map((root) => root.path),
          backup.index,
        );
  if (selected !== null && isMalformed(selected)) throw new Error(selected.expected);
  const paths = selected?.paths ?? null;
  const mounted = openMounts(backup.roots, directory === null ? null : Buffer.from(directory), paths, true);
  if (mounted.kind !== "mounted") throw new Error(mounted.text);
  try {
    return await restore(
      {
        index: backup.index,
        packs: backup.packs,
        paths,
        mounts: mounted.mounts,
        identities: SAME_IDENTITIES,
        policy: "never",
        paranoid: false,
        delete: null,
        expected: null,
        workers: 0,
        issuesKeptMax: 100,
        ...rest,
      },
      { clock: systemClock, spawn: null, ...ports },
    );
  } finally {
    mounted.close();
  }
}

/** Equal means: the comparer's own words; it sees names, types, bytes, modes, owners, times, xattrs, links and holes. */
export function describeTree(root: string): string[] {
  const lines: string[] = [];
  const groups = new Map<string, number>();
  const opener = new Opener();
  const xattrs = new XattrReader(opener);
  const statx = new Statx();
  const top = Buffer.from(root.slice(1));
  for (const path of walk(opener, top)) {
    const parent = opener.openParent(path, path.length);
    const entry = new Entry();
    const at = path.lastIndexOf(0x2f) + 1;
    statx.at(parent, new CPath().of(path, at));
    entryFromStatx(entry, statx);
    const shown = Buffer.from(path.subarray(top.length)).toString("latin1");
    let content = "";
    if (entry.kind === KIND.file) content = hashOf(opener, path);
    if (entry.kind === KIND.symlink) content = Buffer.from(linkText(parent, path, at)).toString("latin1");
    closeFd(parent);
    const key = `${entry.device} ${entry.inodeHigh} ${entry.inodeLow}`;
    const group = entry.links > 1 ? (groups.get(key) ?? groups.size) : -1;
    if (entry.links > 1) groups.set(key, group);
    const packed = xattrs.ofPath(path, path.length);
    lines.push(
      [
        shown,
        entry.kind,
        entry.kind === KIND.symlink ? "-" : entry.mode.toString(8),
        `${entry.uid}:${entry.gid}`,
        entry.sizeBytes,
        `${entry.mtimeSeconds}.${entry.mtimeNs}`,
        content,
        entry.links,
        group,
        entry.specialDevice,
        entry.attributes,
        packed instanceof Uint8Array ? Buffer.from(packed).toString("latin1") : packed,
        entry.kind === KIND.file && statx.blocks * 512 < entry.sizeBytes / 2 ? "sparse" : "",
      ].join(" | "),
    );
  }
  return lines;
}

/** Paths of a tree in order, the top first. */
function walk(opener: Opener, top: Uint8Array): Uint8Array[] {
  const all: Uint8Array[] = [];
  const list = new NativeBuffer(65536);
  const visit = (path: Uint8Array) => {
    all.push(path);
    const fd = opener.open(path, path.length, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return;
    const names: Uint8Array[] = [];
    for (let got = getdents64(fd, list.address, 65536); got > 0; got = getdents64(fd, list.address, 65536)) {
      for (
        let at = 0;
        at < got;
        at += present(list.bytes[at + 16], "a length") + 256 * present(list.bytes[at + 17], "a length")
      ) {
        const name = list.bytes.slice(at + 19, list.bytes.indexOf(0, at + 19));
        if (!/^\.\.?$/.test(Buffer.from(name).toString("latin1"))) names.push(name);
      }
    }
    closeFd(fd);
    names.sort((a, b) => comparePaths(a, a.length, b, b.length));
    for (const name of names) visit(path.length === 0 ? name : Buffer.concat([path, Buffer.from("/"), name]));
  };
  visit(top);
  return all;
}

function hashOf(opener: Opener, path: Uint8Array): string {
  const fd = opener.open(path, path.length, O_RDONLY | O_NONBLOCK);
  const buffer = new NativeBuffer(PIECE_BYTES);
  const hasher = new Bun.SHA256();
  for (let offset = 0; ; ) {
    const got = preadFully(fd, buffer.address, PIECE_BYTES, offset);
    if (got <= 0) break;
    hasher.update(buffer.bytes.subarray(0, got));
    offset += got;
  }
  closeFd(fd);
  return hasher.digest("hex").slice(0, 16);
}

function linkText(parent: number, path: Uint8Array, at: number): Uint8Array {
  const text = new NativeBuffer(4096);
  const bytes = readlinkat(parent, new CPath().of(path, at), text.address, 4096);
  return text.bytes.slice(0, Math.max(0, bytes));
}

class Packer {
  readonly entries: Entry[] = [];
  readonly #archive: TestArchive;
  readonly #pack: number;
  readonly #alter: (entry: Entry) => void;
  readonly #opener = new Opener();
  readonly #xattrs = new XattrReader(this.#opener);
  readonly #statx = new Statx();
  readonly #runs = new DataRuns();
  readonly #name = new CPath();
  #used = 0;

  constructor(archive: TestArchive, pack: number, alter: (entry: Entry) => void) {
    this.#archive = archive;
    this.#pack = pack;
    this.#alter = alter;
  }

  tree(top: Uint8Array): Root {
    const first = this.entries.length;
    for (const path of walk(this.#opener, top)) this.#add(path);
    return { path: top, isDirectory: this.entries[first]?.kind === KIND.directory };
  }

  #add(path: Uint8Array): void {
    const entry = new Entry();
    const parent = this.#opener.openParent(path, path.length);
    const at = path.lastIndexOf(0x2f) + 1;
    if (this.#statx.at(parent, this.#name.of(path, at)) < 0) throw new Error("gone");
    entryFromStatx(entry, this.#statx);
    entry.setPath(path);
    if (entry.kind === KIND.symlink) entry.linkTarget = linkText(parent, path, at);
    const xattrs = this.#xattrs.ofPath(path, path.length);
    if (typeof xattrs !== "number") entry.xattrs = xattrs;
    if (entry.kind === KIND.file) this.#content(entry);
    closeFd(parent);
    this.#alter(entry);
    this.entries.push(entry);
  }

  #content(entry: Entry): void {
    const fd = this.#opener.open(entry.path, entry.pathBytes, O_RDONLY | O_NONBLOCK);
    if (entry.sizeBytes <= 4096) this.#runs.setWhole(entry.sizeBytes);
    else this.#runs.read(fd, entry.sizeBytes);
    const hasher = new Bun.SHA256();
    let offset = 0;
    for (let run = 0; run < this.#runs.count; run++) {
      const start = this.#runs.starts[run] as number;
      const end = this.#runs.ends[run] as number;
      if (start > offset) entry.addSpan(0, 0, 0, start - offset);
      hasher.update(new Uint8Array(start - offset));
      for (let from = start; from < end; ) {
        const to = Math.min(end, (Math.floor(from / PIECE_BYTES) + 1) * PIECE_BYTES);
        hasher.update(this.#piece(fd, entry, from, to - from));
        from = to;
      }
      offset = end;
    }
    if (offset < entry.sizeBytes) entry.addSpan(0, 0, 0, entry.sizeBytes - offset);
    hasher.update(new Uint8Array(entry.sizeBytes - offset));
    hasher.digest(entry.sha256);
    entry.hasContent = true;
    closeFd(fd);
  }

  #piece(fd: number, entry: Entry, from: number, bytes: number): Uint8Array<ArrayBuffer> {
    if (this.#used + PIECE_HEADER_BYTES + bytes > CHUNK_PLAIN_BYTES_MAX) this.flush();
    const { workspace, writer } = this.#archive;
    const at = writer.plainAt + this.#used;
    writePieceHeader(workspace.view, at, pathHash16(entry.path.subarray(0, entry.pathBytes)), bytes);
    preadFully(fd, workspace.base + at + PIECE_HEADER_BYTES, bytes, from);
    entry.addSpan(this.#pack, writer.chunk, this.#used + PIECE_HEADER_BYTES, bytes);
    this.#used += PIECE_HEADER_BYTES + bytes;
    return workspace.bytes.subarray(at + PIECE_HEADER_BYTES, at + PIECE_HEADER_BYTES + bytes);
  }

  flush(): void {
    if (this.#used === 0) return;
    const written = this.#archive.writer.flush(this.#used);
    if (written.kind !== "written") throw new Error(written.text);
    this.#used = 0;
  }
}

export const archiveIn = (directory: string, number = 1): string => join(directory, `${number}.backup`);

export const spawnFrom =
  (file: URL) =>
  (name: string): Worker =>
    new Worker(file.href, { name });
