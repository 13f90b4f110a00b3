/** @module Walks one job of a scan, depth first, in the order of comparePaths, and writes down what it finds.
 *
 *  (1) Every name is looked at relative to its open directory, and never followed: a directory that becomes a symbolic
 *      link under the walk is not entered. Patterns are asked before the kernel is: what hangs can be left out.
 *  (2) When another Worker is idle, half of what is left of the outermost directory is given away; a seam in this
 *      job's records says where those of the other job belong.
 *  (3) What cannot be read is told and counted, and the walk goes on. A directory whose names could not be read (all of
 *      them) carries FLAG.unreadable: what is missing in it is not deleted. */
import { errorText, O_RDONLY, preadFully } from "../../base/ffi.ts";
import {
  AT_FDCWD,
  CPath,
  closeFd,
  ENOENT,
  NativeBuffer,
  O_DIRECTORY,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  openat2,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
  Statx,
} from "../../base/files.ts";
import { Entry, FLAG, isWithin, KIND } from "../entry.ts";
import { RecordEncoder } from "../index/record.ts";
import { PATH_BYTES_MAX } from "../index/record-layout.ts";
import { entryFromStatx } from "./entries.ts";
import { noCounters, type ScanCounters, type ScanJob, type ScanNotice, type ScanRules } from "./messages.ts";
import { NameStack, TYPE_DIRECTORY, TYPE_UNKNOWN } from "./name-stack.ts";
import { Opener } from "./open.ts";
import { Exclusions } from "./patterns.ts";

const BATCH_BYTES = 128 * 1024;
/** Directories that are kept open at once; those further out are opened again when the walk comes back. */
const OPEN_MAX = 64;
/** Entries between two looks for an idle Worker. */
const LOOK_EVERY = 64;
/** So many names without a directory among them are worth giving away. */
const SHARE_NAMES = 512;
const LINK_BYTES_MAX = 4096;
const NODUMP = 0x40;
const SLASH = 0x2f;
const DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;
const RESOLVE = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const CACHE_TAG = Buffer.from("CACHEDIR.TAG\0");
const CACHE_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55";

/** One directory that the walk is in. */
class Level {
  /** -1: closed for the time being. */
  fd = -1;
  device = 0;
  inodeHigh = 0;
  inodeLow = 0;
  /** Where names begin in the path. */
  nameAt = 0;
  /** Bytes and count of the name stack below this directory's names. */
  top = 0;
  first = 0;
  /** Names of this directory still to come: [next, end) in the stack's order. */
  next = 0;
  end = 0;
  /** Jobs that were given parts of this directory, the last part first. */
  readonly shares: number[] = [];
}

export interface WalkerPorts {
  readonly tell: (notice: ScanNotice, transfer: ArrayBuffer[]) => void;
  readonly isAnyIdle: () => boolean;
  /** Takes one idle Worker for a job that `tell` hears of next; false: there is none any more. */
  readonly takeIdle: () => boolean;
  /** A number for a job that no other job has. */
  readonly nextId: () => number;
}

export class Walker {
  readonly #rules: ScanRules;
  readonly #ports: WalkerPorts;
  readonly #exclusions: readonly Exclusions[];
  readonly #entry = new Entry();
  readonly #statx = new Statx();
  readonly #encoder = new RecordEncoder(BATCH_BYTES + 16 * 1024);
  readonly #names = new NameStack();
  readonly #path = new CPath();
  readonly #buffer = new NativeBuffer(LINK_BYTES_MAX);
  readonly #opener = new Opener();
  readonly #levels: Level[] = [];
  readonly #noatime = process.geteuid?.() === 0 ? O_NOATIME : 0;
  #depth = 0;
  #counters: ScanCounters = noCounters();
  #job: ScanJob = { id: 0, root: 0, rootDevice: 0, share: null };
  #rootDevice = -1;
  /** Bytes of the source's path and the slash behind it. */
  #below = 0;
  /** Paths of sources that lie within this one: they have jobs of their own. */
  #inner: readonly Uint8Array[] = [];
  #untilLook = LOOK_EVERY;

  constructor(rules: ScanRules, ports: WalkerPorts) {
    this.#rules = rules;
    this.#ports = ports;
    this.#exclusions = rules.roots.map((root) => new Exclusions(rules.exclude, root));
  }

  close(): void {
    this.#opener.close();
  }

  /** Walks the whole job; notices go out on the way, `scanDone` last. */
  run(job: ScanJob): void {
    const root = this.#rules.roots[job.root] ?? new Uint8Array(0);
    this.#job = job;
    this.#rootDevice = job.rootDevice;
    this.#below = root.length === 0 ? 0 : root.length + 1;
    this.#inner = this.#rules.roots.filter((other) => other !== root && isBelow(other, root));
    this.#counters = noCounters();
    if (job.share === null) this.#visitRoot(root);
    else this.#enterShare(job.share);
    while (this.#depth > 0) this.#step();
    this.#flush();
    this.#ports.tell({ type: "scanDone", job: job.id, counters: this.#counters }, []);
  }

  #step(): void {
    const level = this.#levels[this.#depth - 1] as Level;
    if (level.next === level.end) {
      this.#leave(level);
      return;
    }
    if (--this.#untilLook === 0) {
      this.#untilLook = LOOK_EVERY;
      while (this.#ports.isAnyIdle() && this.#giveAway());
      if (level.next === level.end) return;
    }
    if (level.fd < 0 && !this.#reopen(level)) return;
    this.#visitName(level, this.#names.order[level.next++] as number);
  }

  #visitRoot(root: Uint8Array): void {
    this.#entry.setPath(root);
    const absolute = new Uint8Array(root.length + 1);
    absolute[0] = SLASH;
    absolute.set(root, 1);
    const address = this.#path.of(absolute);
    const result = this.#statx.at(AT_FDCWD, address);
    if (result < 0) {
      this.#error(errorText(result));
      return;
    }
    this.#rootDevice = this.#statx.device;
    if (!entryFromStatx(this.#entry, this.#statx)) return;
    this.#take(AT_FDCWD, address, -1);
  }

  #visitName(level: Level, name: number): void {
    const names = this.#names;
    const entry = this.#entry;
    const nameAt = level.nameAt;
    let end = nameAt;
    for (let at = name; ; at++) {
      const byte = names.bytes[at] as number;
      if (byte === 0) break;
      if (end === entry.path.length) {
        entry.pathBytes = end;
        entry.reservePath(end + 1);
      }
      entry.path[end++] = byte;
    }
    entry.pathBytes = end;
    if (end > PATH_BYTES_MAX) {
      this.#error("its path is too long");
      return;
    }
    if (this.#inner.length > 0 && this.#isInner()) return;
    const exclusions = this.#exclusions[this.#job.root] as Exclusions;
    let type = names.bytes[name - 1] as number;
    if (!exclusions.isEmpty && type !== TYPE_UNKNOWN && this.#isExcluded(exclusions, nameAt, type)) return;
    const address = names.addressOf(name);
    const result = this.#statx.at(level.fd, address);
    if (result < 0) {
      if (result === -ENOENT) this.#counters.vanished++;
      else this.#error(errorText(result));
      return;
    }
    if (!entryFromStatx(entry, this.#statx)) return;
    if (type === TYPE_UNKNOWN && !exclusions.isEmpty) {
      type = entry.kind === KIND.directory ? TYPE_DIRECTORY : 8;
      if (this.#isExcluded(exclusions, nameAt, type)) return;
    }
    this.#take(level.fd, address, level.device);
  }

  #isExcluded(exclusions: Exclusions, nameAt: number, type: number): boolean {
    const { path, pathBytes } = this.#entry;
    if (!exclusions.has(path, this.#below, nameAt, pathBytes, type === TYPE_DIRECTORY)) return false;
    this.#counters.skipped++;
    return true;
  }

  #isInner(): boolean {
    const { path, pathBytes } = this.#entry;
    return this.#inner.some((inner) => inner.length === pathBytes && sameBytes(inner, path));
  }

  /** Counts and writes down the entry that was filled in, and enters it if it is a directory. */
  #take(dirFd: number, address: number, dirDevice: number): void {
    const entry = this.#entry;
    const rules = this.#rules;
    const counters = this.#counters;
    if (rules.honourNodump && (entry.attributes & NODUMP) !== 0) {
      counters.skipped++;
      return;
    }
    switch (entry.kind) {
      case KIND.file:
        if (rules.sizeMaxBytes !== null && entry.sizeBytes > rules.sizeMaxBytes) {
          counters.skipped++;
          return;
        }
        counters.files++;
        counters.bytes += entry.sizeBytes;
        break;
      case KIND.directory:
        this.#takeDirectory(dirFd, address, dirDevice);
        return;
      case KIND.symlink: {
        const got = readlinkat(dirFd, address, this.#buffer.address, LINK_BYTES_MAX);
        if (got < 0) {
          this.#error(errorText(got));
          return;
        }
        entry.linkTarget = this.#buffer.bytes.slice(0, got);
        counters.symlinks++;
        break;
      }
      default:
        counters.specials++;
    }
    this.#write();
  }

  #takeDirectory(dirFd: number, address: number, dirDevice: number): void {
    const entry = this.#entry;
    const isStore = this.#rules.stores.some(
      (store) =>
        store.inodeLow === entry.inodeLow &&
        store.inodeHigh === entry.inodeHigh &&
        store.device === entry.device,
    );
    if (isStore) {
      this.#counters.skipped++;
      this.#note("the store itself is left out");
      return;
    }
    if (entry.device !== dirDevice && !this.#mayCross()) {
      this.#counters.directories++;
      this.#write();
      return;
    }
    const fd = this.#openDirectory(dirFd, address);
    if (fd === -ENOENT) {
      this.#counters.vanished++;
      return;
    }
    this.#counters.directories++;
    if (fd < 0) {
      this.#error(errorText(fd));
      entry.flags = FLAG.unreadable;
      this.#write();
      return;
    }
    const level = this.#enter(fd);
    const result = this.#names.pushDirectory(fd);
    level.end = this.#names.count;
    if (result < 0) {
      this.#error(errorText(result));
      entry.flags = FLAG.unreadable;
    }
    if (this.#rules.excludeCaches) this.#keepOnlyCacheTag(level);
    this.#write();
  }

  /** A directory on another file system than the one it is in (or a source): may the walk go in? */
  #mayCross(): boolean {
    const { device } = this.#entry;
    const pseudo = this.#rules.pseudo.get(device);
    if (pseudo !== undefined) {
      this.#note(`${pseudo}: holds no files of its own, its contents are left out`);
      return false;
    }
    if (!this.#rules.oneFileSystem || device === this.#rootDevice) return true;
    this.#note("another file system: its contents are left out");
    return false;
  }

  #openDirectory(dirFd: number, address: number): number {
    const fd = openat2(dirFd, address, DIRECTORY_FLAGS | this.#noatime, RESOLVE);
    return fd === -1 && this.#noatime !== 0 ? openat2(dirFd, address, DIRECTORY_FLAGS, RESOLVE) : fd;
  }

  /** A level for the open directory that the entry stands for; its names are pushed next. */
  #enter(fd: number): Level {
    const entry = this.#entry;
    const level = this.#levels[this.#depth] ?? new Level();
    this.#levels[this.#depth++] = level;
    const outer = this.#levels[this.#depth - 1 - OPEN_MAX];
    if (outer !== undefined && outer.fd >= 0) {
      closeFd(outer.fd);
      outer.fd = -1;
    }
    level.fd = fd;
    level.device = entry.device;
    level.inodeHigh = entry.inodeHigh;
    level.inodeLow = entry.inodeLow;
    level.nameAt = entry.pathBytes;
    if (entry.pathBytes > 0) {
      entry.reservePath(entry.pathBytes + 1);
      entry.path[level.nameAt++] = SLASH;
    }
    level.top = this.#names.top;
    level.first = level.next = level.end = this.#names.count;
    return level;
  }

  #leave(level: Level): void {
    this.#depth--;
    this.#names.drop(level.first, level.top);
    if (level.fd >= 0) closeFd(level.fd);
    level.fd = -1;
    for (let share = level.shares.pop(); share !== undefined; share = level.shares.pop()) {
      this.#flush();
      this.#ports.tell({ type: "scanSeam", job: this.#job.id, other: share }, []);
    }
  }

  /** Back in a directory that was closed meanwhile: opens it again, if it is still the same one. */
  #reopen(level: Level): boolean {
    const entry = this.#entry;
    const pathBytes = Math.max(0, level.nameAt - 1);
    level.fd = this.#opener.open(entry.path, pathBytes, DIRECTORY_FLAGS | this.#noatime);
    if (level.fd >= 0) {
      const statx = this.#statx;
      const same =
        statx.of(level.fd) === 0 &&
        statx.inodeLow === level.inodeLow &&
        statx.inodeHigh === level.inodeHigh &&
        statx.device === level.device;
      if (same) return true;
      closeFd(level.fd);
      level.fd = -1;
    }
    entry.pathBytes = pathBytes;
    this.#error("it was moved or replaced while it was read: what was still to come in it is missing");
    level.next = level.end;
    return false;
  }

  #enterShare({ path, device, names }: NonNullable<ScanJob["share"]>): void {
    const entry = this.#entry;
    entry.setPath(path);
    const fd = this.#opener.open(path, path.length, DIRECTORY_FLAGS | this.#noatime);
    const result = fd < 0 ? fd : this.#statx.of(fd);
    if (result < 0 || this.#statx.device !== device) {
      if (fd >= 0) closeFd(fd);
      this.#error(
        result < 0 ? errorText(result) : "it was replaced while it was read: a part of it is missing",
      );
      return;
    }
    entryFromStatx(entry, this.#statx);
    const level = this.#enter(fd);
    this.#names.pushPacked(names);
    level.end = this.#names.count;
  }

  /** Gives away half of what is left of the outermost directory where that is worth it; false: nothing is. */
  #giveAway(): boolean {
    for (let depth = 0; depth < this.#depth; depth++) {
      const level = this.#levels[depth] as Level;
      const from = this.#shareFrom(level);
      if (from < 0) continue;
      if (!this.#ports.takeIdle()) return false;
      const id = this.#ports.nextId();
      const names = this.#names.pack(from, level.end);
      const path = this.#entry.path.slice(0, Math.max(0, level.nameAt - 1));
      const share = { path, device: level.device, names };
      const job: ScanJob = { id, root: this.#job.root, rootDevice: this.#rootDevice, share };
      this.#ports.tell({ type: "scanShare", job }, [names.buffer]);
      level.end = from;
      level.shares.push(id);
      return true;
    }
    return false;
  }

  /** Where the part of a directory begins that is worth giving away: its later half, or, where no directory is in that,
   *  all from the last directory on; -1: nothing is. */
  #shareFrom(level: Level): number {
    const { bytes, order } = this.#names;
    const middle = level.next + ((level.end - level.next) >> 1);
    if (level.end - middle >= SHARE_NAMES) return middle;
    for (let number = level.end - 1; number >= level.next; number--) {
      const type = bytes[(order[number] as number) - 1];
      if (type === TYPE_DIRECTORY || type === TYPE_UNKNOWN) return Math.min(number, middle);
    }
    return -1;
  }

  /** In a directory with a valid tag, the tag is all that is listed. */
  #keepOnlyCacheTag(level: Level): void {
    const { order } = this.#names;
    for (let number = level.first; number < level.end; number++) {
      const name = order[number] as number;
      if (!this.#isCacheTag(level.fd, name)) continue;
      this.#counters.skipped += level.end - level.first - 1;
      order[level.first] = name;
      level.end = level.first + 1;
      return;
    }
  }

  #isCacheTag(fd: number, name: number): boolean {
    for (let at = 0; at < CACHE_TAG.length; at++) {
      if (this.#names.bytes[name + at] !== CACHE_TAG[at]) return false;
    }
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    const tag = openat2(fd, this.#names.addressOf(name), flags, RESOLVE);
    if (tag < 0) return false;
    const got = preadFully(tag, this.#buffer.address, CACHE_SIGNATURE.length, 0);
    closeFd(tag);
    return (
      Buffer.from(this.#buffer.bytes.subarray(0, Math.max(0, got))).toString("latin1") === CACHE_SIGNATURE
    );
  }

  #write(): void {
    this.#encoder.add(this.#entry);
    if (this.#encoder.bytes >= BATCH_BYTES) this.#flush();
  }

  #flush(): void {
    if (this.#encoder.count === 0) return;
    const records = this.#encoder.take() as Uint8Array<ArrayBuffer>;
    this.#encoder.reset();
    this.#ports.tell({ type: "scanBatch", job: this.#job.id, records }, [records.buffer]);
  }

  #error(text: string): void {
    this.#counters.errors++;
    this.#ports.tell({ type: "scanError", remark: { path: this.#ownPath(), text } }, []);
  }

  #note(text: string): void {
    this.#ports.tell({ type: "scanNote", remark: { path: this.#ownPath(), text } }, []);
  }

  #ownPath(): Uint8Array {
    return this.#entry.path.slice(0, this.#entry.pathBytes);
  }
}

const sameBytes = (inner: Uint8Array, path: Uint8Array): boolean => {
  for (let at = inner.length - 1; at >= 0; at--) if (inner[at] !== path[at]) return false;
  return true;
};

/** Does one path lie within the other? (Not the same one.) */
export function isBelow(inner: Uint8Array, outer: Uint8Array): boolean {
  return inner.length > outer.length && isWithin(inner, inner.length, outer);
}
