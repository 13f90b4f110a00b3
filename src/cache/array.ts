/** @module The cache's disks as one array: whole stripes in, journal bytes out, losing one disk loses nothing.
 *
 *  (1) A stripe is written once, whole, and never again in its lap (rule 9): there is no write hole, and no read before
 *      a write. `headJ` only grows.
 *  (2) A member that fails once is out until it is replaced: who is out is written down durably on the survivors
 *      before anything written later is called durable, so a disk that comes back after a restart is not believed.
 *  (3) durableJ moves only when fdatasync returned on every member still in.
 *  (4) CHECKPOINT may move (and the journal before it be overwritten) only after the checkpoint is durable.
 *
 *      healthy --member lost--> degraded --member lost--> lost (tape only)
 *         ^                        |
 *         +------- rebuilt --------+        without parity: healthy --member lost--> lost
 *
 *  Used by one thread, the cache Worker's. Data goes by native address; nothing is allocated for a stripe.
 */
import {
  CACHE_DEGRADED,
  CACHE_HEALTHY,
  CACHE_IOVECS,
  CACHE_LOST,
  CACHE_STATE,
  PARITY,
  PARITY_BYTES,
  RING,
} from "../../wasm/ring/layout.ts";
import { IOVEC_BYTES, MEMBER_DATA } from "../../wasm/stripe/layout.ts";
import { openStripe, type StripeExports } from "../../wasm/stripe/stripe.ts";
import { assert, present } from "../base/assert.ts";
import { errorText } from "../base/ffi.ts";
import type { SharedMemory } from "../base/memory.ts";
import { WriteBatch } from "./aio.ts";
import { type CacheListener, cacheEvent } from "./events.ts";
import { type Checkpoint, fitsIdentity } from "./format.ts";
import type { Geometry } from "./geometry.ts";
import { HeadWriter, type MemberFailed } from "./head.ts";
import {
  type ArrayHealth,
  type ArrayState,
  describeArray,
  isWritable,
  memberHealth,
  stateOf,
  unwritableMask,
} from "./health.ts";
import type { MemberIo } from "./io.ts";
import { closeMember, type Member } from "./member.ts";
import { CacheReader, type JournalReader } from "./reader.ts";
import { Rebuild, type RebuildOutcome } from "./rebuild.ts";
import { inspectReplacement, openReplacement, type Replacement } from "./replacement.ts";
import { MemberTable } from "./table.ts";

/** Where the tape has got to: the next entry that is not on it. */
export type CheckpointPlace = Omit<Checkpoint, "generation" | "identity">;

/** What `openCacheArray` found and made ready (open.ts). */
export interface OpenedParts {
  readonly shared: SharedMemory;
  readonly geometry: Geometry;
  readonly members: Member[];
  readonly arrayId: string;
  readonly owner: string;
  readonly generation: number;
  readonly checkpoint: Checkpoint | null;
  readonly io: MemberIo;
  readonly wantDirect: boolean;
  readonly onEvent: CacheListener;
}

export class CacheArray implements JournalReader {
  readonly geometry: Geometry;
  readonly arrayId: string;
  readonly owner: string;
  /** Stripes before it are written, or were skipped. */
  headJ = 0;
  /** ... and are on every surviving disk. */
  durableJ = 0;
  readonly #shared: SharedMemory;
  readonly #members: Member[];
  readonly #kernel: StripeExports;
  readonly #reader: CacheReader;
  readonly #table: MemberTable;
  readonly #io: MemberIo;
  readonly #wantDirect: boolean;
  readonly #onEvent: CacheListener;
  readonly #head: HeadWriter;
  readonly #failed: MemberFailed = (member, errno, during) => this.#drop(member, errorText(errno), during);
  readonly #batch = new WriteBatch();
  #state: ArrayState = "healthy";
  #checkpoint: Checkpoint | null;
  #identity: string;
  #rebuild: Rebuild | null = null;
  #started = false;

  constructor(parts: OpenedParts) {
    this.geometry = parts.geometry;
    this.arrayId = parts.arrayId;
    this.owner = parts.owner;
    this.#shared = parts.shared;
    this.#members = parts.members;
    this.#io = parts.io;
    this.#wantDirect = parts.wantDirect;
    this.#onEvent = parts.onEvent;
    this.#head = new HeadWriter(parts.geometry, parts.io, parts.arrayId, parts.owner, parts.generation);
    this.#checkpoint = parts.checkpoint;
    this.#identity = parts.checkpoint?.identity ?? "{}";
    this.#kernel = openStripe(parts.shared.memory);
    this.#table = new MemberTable(parts.shared);
    const scratch = { offset: PARITY, bytes: PARITY_BYTES };
    this.#reader = new CacheReader(parts.shared, parts.geometry, scratch, parts.io);
    this.#state = stateOf(this.#members, this.geometry);
    const lost = this.#state === "lost";
    for (const member of this.#members) {
      // Of a lost array what is left may still be read: the entries' hashes tell what is right.
      const good = member.state === "good" || (lost && member.plainFd >= 0);
      this.#table.set(
        member.index,
        good ? 0 : Number.POSITIVE_INFINITY,
        good ? Number.POSITIVE_INFINITY : 0,
        0,
      );
      this.#reader.setMember(member.index, member.plainFd);
    }
    this.#publishState();
  }

  get state(): ArrayState {
    return this.#state;
  }

  /** Says where writing begins (a stripe's start): 0 in a new array, after recovery its `resumeJ`. */
  startAt(J: number): void {
    assert(J % this.geometry.stripeBytes === 0, "writing begins at a stripe's start");
    assert(J >= this.headJ, "the journal's head never goes back");
    this.headJ = J;
    this.durableJ = J;
    this.#started = true;
    const rebuilding = this.#members.find((member) => member.state === "rebuilding");
    if (rebuilding !== undefined && this.#rebuild === null) this.#beginRebuild(rebuilding);
  }

  /** Writes whole stripes from the ring. They must lie in one piece there, and follow what was written before.
   *  false: the array is lost; what of the stripes lies on disk does not count. */
  writeStripes(firstJ: number, stripeCount: number): boolean {
    const { stripeBytes, stripBytes, ringBytes, slots, members, parityStrips, stripesMax } = this.geometry;
    assert(this.#started, "startAt comes first");
    assert(firstJ >= this.headJ && firstJ % stripeBytes === 0, "a stripe is written once, in order");
    const inRing = firstJ % ringBytes;
    assert(stripeCount > 0 && stripeCount <= stripesMax, "too many stripes for one call");
    assert(inRing + stripeCount * stripeBytes <= ringBytes, "the stripes pass the ring's end");
    if (this.#state === "lost") return false;
    const slot = (firstJ / stripeBytes) % slots;
    const base = this.#shared.base;
    this.#kernel.prepare(
      RING + inRing,
      stripeCount,
      slot % members,
      members,
      stripBytes,
      parityStrips,
      unwritableMask(this.#members),
      PARITY,
      CACHE_IOVECS,
      base,
    );
    const batch = this.#batch;
    batch.count = 0;
    batch.iovecCount = stripeCount;
    batch.offset = MEMBER_DATA + slot * stripBytes;
    for (let index = 0; index < members; index++) {
      const member = present(this.#members[index], "member");
      const iovecs = base + CACHE_IOVECS + index * stripeCount * IOVEC_BYTES;
      if (isWritable(member)) batch.add(index, member.fd, iovecs);
    }
    this.#io.pwritevAll(batch);
    if (!this.#takeResults(stripeCount * stripBytes)) return false;
    this.headJ = firstJ + stripeCount * stripeBytes;
    return true;
  }

  /** Drops every member that did not take all of its `bytes`; false: the array is lost. */
  #takeResults(bytes: number): boolean {
    const { count, members, results } = this.#batch;
    for (let i = 0; i < count; i++) {
      const member = present(this.#members[members[i] ?? -1], "member");
      const wrote = results[i] ?? 0;
      if (wrote === bytes) member.writtenBytes += bytes;
      else {
        const cause = wrote < 0 ? errorText(wrote) : `wrote ${wrote} of ${bytes} bytes`;
        if (isWritable(member)) this.#drop(member, cause, "write");
      }
    }
    return stateOf(this.#members, this.geometry) !== "lost";
  }

  /** Makes everything written durable. false: the array is lost. */
  sync(): boolean {
    if (this.#state === "lost") return false;
    for (let index = 0; index < this.#members.length; index++) {
      const member = present(this.#members[index], "member");
      if (!isWritable(member)) continue;
      const result = this.#io.fdatasync(index, member.fd);
      if (result < 0 && !this.#drop(member, errorText(result), "sync")) return false;
    }
    this.durableJ = this.headJ;
    return true;
  }

  read(J: number, bytes: number, address: number): number {
    return this.#reader.read(J, bytes, address);
  }

  readWithout(member: number, J: number, bytes: number, address: number): number {
    return this.#reader.readWithout(member, J, bytes, address);
  }

  /** Opaque JSON (at most 2 KiB as UTF-8) that goes into the next checkpoint. */
  setImageIdentity(identity: string): void {
    assert(fitsIdentity(identity), "the image's identity is too long for a checkpoint");
    this.#identity = identity;
  }

  /** Writes the place down on every member and syncs them: everything written before is durable too.
   *  Only after `true` may the journal before `place.J` be overwritten. */
  writeCheckpoint(place: CheckpointPlace): boolean {
    if (this.#state === "lost") return false;
    const generation = (this.#checkpoint?.generation ?? 0) + 1;
    const { J, sequence, image, position } = place;
    const checkpoint = { generation, J, sequence, image, position, identity: this.#identity };
    if (!this.#head.writeCheckpoint(this.#members, checkpoint, this.#failed)) return false;
    if (!this.sync()) return false;
    this.#checkpoint = checkpoint;
    return true;
  }

  /** The newest checkpoint that is durable; null: none was ever written. */
  readCheckpoint(): Checkpoint | null {
    return this.#checkpoint;
  }

  /** Takes a member out, as if its disk had failed. */
  failMember(index: number, cause = "taken out"): void {
    const member = present(this.#members[index], "member");
    if (isWritable(member)) this.#drop(member, cause, "order");
  }

  /** Puts another disk (new, empty, or the array's own old one) in the place of a lost member; then call `rebuildStep`
   *  until it is done. New stripes go to it at once. */
  replaceMember(index: number, path: string): Replacement {
    const old = this.#members[index];
    if (old === undefined) return { kind: "refused", path, reason: `there is no member ${index}` };
    if (this.geometry.parityStrips === 0 || this.#state === "lost")
      return { kind: "refused", path, reason: "nothing is left to rebuild it from" };
    if (isWritable(old)) return { kind: "refused", path, reason: `member ${index} (${old.path}) is in use` };
    const refusal = inspectReplacement(path, index, this.arrayId, this.#members);
    if (refusal !== null) return refusal;
    this.#reader.setMember(index, -1);
    closeMember(old);
    const member = openReplacement(path, index, this.geometry, this.#wantDirect, this.#shared.base + PARITY);
    if (member.state !== "rebuilding") return { kind: "refused", path, reason: member.cause };
    this.#members[index] = member;
    this.#table.set(index, Number.POSITIVE_INFINITY, 0, 0);
    this.#table.countReplacement(index);
    this.#reader.setMember(index, member.plainFd);
    if (this.#started) this.#beginRebuild(member);
    if (!this.writeMembership()) return { kind: "refused", path, reason: "the array was lost meanwhile" };
    return { kind: "rebuilding", path };
  }

  /** Rebuilds a slice of the member being rebuilt. */
  rebuildStep(): RebuildOutcome {
    const rebuild = this.#rebuild;
    if (rebuild === null || this.#state === "lost") return "idle";
    const outcome = rebuild.step();
    const member = rebuild.member;
    if (outcome === "failed") {
      this.#drop(member, rebuild.cause, "rebuild");
    } else if (outcome === "done") {
      // Its strips must be durable before the superblocks call it good.
      const result = this.#io.fdatasync(member.index, member.fd);
      if (result < 0) {
        this.#drop(member, errorText(result), "sync");
        return "failed";
      }
      this.#rebuild = null;
      member.state = "good";
      member.cause = "";
      if (!this.writeMembership() || member.state !== "good") return "failed";
      this.#table.set(member.index, 0, Number.POSITIVE_INFINITY, 0);
      this.#state = stateOf(this.#members, this.geometry);
      this.#publishState();
      const evidence = { member: member.index, path: member.path, unreadableBytes: rebuild.unreadableBytes };
      if (rebuild.unreadableBytes > 0)
        this.#tell(
          "alarm",
          "rebuildUnreadable",
          `${rebuild.unreadableBytes} bytes of ${member.path} could not be rebuilt`,
          evidence,
        );
      if (this.#state === "healthy")
        this.#tell("info", "cacheHealthy", `the cache is whole again: ${member.path} is rebuilt`, evidence);
    }
    return outcome;
  }

  health(): ArrayHealth {
    const { parity, cacheBytes, stripBytes } = this.geometry;
    const rebuild = this.#rebuild;
    return {
      state: this.#state,
      parity,
      capacityBytes: cacheBytes,
      direct: this.#members.every((member) => member.direct || member.state === "missing"),
      headJ: this.headJ,
      durableJ: this.durableJ,
      checkpointJ: this.#checkpoint?.J ?? 0,
      members: this.#members.map(memberHealth),
      rebuild:
        rebuild === null
          ? null
          : {
              member: rebuild.member.index,
              doneBytes: rebuild.doneBytes,
              totalBytes: rebuild.slotsTotal * stripBytes,
            },
      readErrors: this.#reader.readErrors,
      reconstructions: this.#reader.reconstructions,
    };
  }

  /** One line for the operator. */
  describe(): string {
    return describeArray(this.#state, this.#members, this.geometry);
  }

  close(): void {
    for (const member of this.#members) closeMember(member);
  }

  #beginRebuild(member: Member): void {
    const { stripeBytes, slots } = this.geometry;
    this.#table.set(member.index, this.headJ, Number.POSITIVE_INFINITY, 0);
    const written = Math.min(slots, this.headJ / stripeBytes);
    const kernel = this.#kernel;
    this.#rebuild = new Rebuild(
      this.#shared,
      this.geometry,
      kernel,
      this.#io,
      this.#table,
      this.#members,
      member,
      written,
    );
    this.#tell("info", "rebuildStarted", `${member.path} is being rebuilt`, {
      member: member.index,
      path: member.path,
    });
  }

  #publishState(): void {
    const word =
      this.#state === "healthy" ? CACHE_HEALTHY : this.#state === "degraded" ? CACHE_DEGRADED : CACHE_LOST;
    Atomics.store(this.#shared.words, CACHE_STATE / 4, word);
  }

  /** false: the array is lost now. */
  #drop(member: Member, cause: string, during: string): boolean {
    member.errors++;
    member.cause = cause;
    member.state = "failed";
    if (this.#rebuild?.member === member) this.#rebuild = null;
    this.#table.setRebuilt(member.index, 0);
    // What it acknowledged before the last sync may still help a reader; nothing after it may.
    this.#table.setGoodBefore(member.index, this.durableJ);
    const evidence = { member: member.index, path: member.path, cause, during, headJ: this.headJ };
    this.#tell("alarm", "memberLost", `the cache lost ${member.path}: ${cause}`, evidence);
    const before = this.#state;
    this.#state = stateOf(this.#members, this.geometry);
    const survived = this.writeMembership();
    this.#publishState();
    if (before !== "lost" && this.#state === "lost")
      this.#tell("alarm", "cacheLost", "the cache is lost: data goes to tape only", evidence);
    else if (this.#state === "degraded")
      this.#tell("warning", "cacheDegraded", "the cache goes on without redundancy", evidence);
    return survived && this.#state !== "lost";
  }

  /** Writes who is in and who is out on every member still in, durably. false: the array was lost over it. */
  writeMembership(): boolean {
    return this.#head.writeMembership(this.#members, this.#failed) && this.#state !== "lost";
  }

  #tell(...event: Parameters<typeof cacheEvent>): void {
    this.#onEvent(cacheEvent(...event));
  }
}
