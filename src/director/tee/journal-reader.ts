/** @module The journal as the drive's reader sees it: one entry at a time, from the ring where it is claimed, else
 *  from the cache members. What it hands out lies in shared memory and stays valid until the next call. */
import * as at from "../../../wasm/ring/layout.ts";
import type { DeviceMemory } from "./device-memory.ts";

/** Journal bytes from the cache members; reconstructs what a lost member held. */
export interface CacheReadPort {
  /** Fills `bytes` at a native address; returns bytes read or -errno. J and bytes are multiples of 512. */
  read(J: number, bytes: number, address: number): number;
  /** The same with one member left out: a disk that flipped bits is seen through by parity. */
  readWithout(member: number, J: number, bytes: number, address: number): number;
  readonly geometry: { readonly members: number; readonly parityStrips: number };
}

/** One entry; the same object is used again and again. */
export class EntryView {
  J = 0;
  /** Memory offset of its header; data at + 512. */
  memoryAt = 0;
  kind = 0;
  flags = 0;
  image = 0;
  position = 0;
  dataBytes = 0;
  count = 0;
  blockBytes = 0;
  fileNumber = 0;
  entryBytes = 0;
  receivedMs = 0;
  sequence = 0;
}

export type ReadOutcome = "entry" | "end" | "unreadable";

/** Bytes of the replay area that hold journal read back; the rest of it is for blocks read from the medium. */
const WINDOW_BYTES = 24 * 1024 * 1024;
export const MEDIUM_AT = at.REPLAY + WINDOW_BYTES;
export const MEDIUM_BYTES = at.REPLAY_BYTES - WINDOW_BYTES;
const READ_AHEAD_BYTES = 4 * 1024 * 1024;

export class JournalReader {
  readonly entry = new EntryView();
  unreadableText = "";
  private windowJ = 0;
  private windowBytes = 0;
  /** Given up, it writes no more to the window: it is another reader's by then. */
  private readonly epoch: number;

  constructor(
    private readonly device: DeviceMemory,
    private readonly cache: CacheReadPort | null,
  ) {
    this.epoch = device.word(at.FOLLOW_EPOCH);
  }

  /** What was read ahead is no longer trusted. */
  forget(): void {
    this.windowBytes = 0;
  }

  /** The entry at J, with its data where `withData`; "end": nothing was received from J on. */
  read(J: number, withData: boolean): ReadOutcome {
    if (J >= this.device.get(at.RECEIVED)) return "end";
    if (this.device.word(at.FOLLOW_EPOCH) !== this.epoch) return this.unreadable("given up meanwhile");
    if (this.device.word(at.FOLLOWER) === at.FOLLOWER_RING)
      return this.parse(this.device.inRing(J), J, withData);
    const header = this.window(J, at.ENTRY_HEADER_BYTES);
    if (header < 0) return "unreadable";
    const outcome = this.parse(header, J, false);
    if (outcome !== "entry") return this.seeThrough(J, withData);
    if (!withData || this.entry.kind === at.KIND_PAD) return outcome;
    const whole = this.window(J, this.entry.entryBytes);
    if (whole < 0) return "unreadable";
    return this.parse(whole, J, true) === "entry" ? "entry" : this.seeThrough(J, true);
  }

  /** A hash is wrong: the entry is read again with each member left out in turn. */
  private seeThrough(J: number, withData: boolean): ReadOutcome {
    const { cache, device } = this;
    if (cache === null || cache.geometry.parityStrips === 0) return "unreadable";
    this.forget();
    const address = device.shared.base + at.REPLAY;
    for (let member = 0; member < cache.geometry.members; member++) {
      if (cache.readWithout(member, J, at.ENTRY_HEADER_BYTES, address) < at.ENTRY_HEADER_BYTES) continue;
      if (this.parse(at.REPLAY, J, false) !== "entry") continue;
      if (!withData || this.entry.kind === at.KIND_PAD) return "entry";
      const { entryBytes } = this.entry;
      if (entryBytes > WINDOW_BYTES || cache.readWithout(member, J, entryBytes, address) < entryBytes)
        continue;
      if (this.parse(at.REPLAY, J, true) === "entry") return "entry";
    }
    return "unreadable";
  }

  private parse(memoryAt: number, J: number, withData: boolean): ReadOutcome {
    const { ring, shared } = this.device;
    if (ring.soundHeader(memoryAt, J) !== 1) return this.unreadable(`no sound entry at journal offset ${J}`);
    const { entry } = this;
    const { view } = shared;
    entry.J = J;
    entry.memoryAt = memoryAt;
    entry.kind = view.getUint8(memoryAt + at.ENTRY_KIND_AT);
    entry.flags = view.getUint8(memoryAt + at.ENTRY_FLAGS_AT);
    entry.image = ring.field64(memoryAt + at.ENTRY_IMAGE_AT);
    entry.position = ring.field64(memoryAt + at.ENTRY_POSITION_AT);
    entry.dataBytes = view.getInt32(memoryAt + at.ENTRY_DATA_BYTES_AT, true);
    entry.count = view.getInt32(memoryAt + at.ENTRY_COUNT_AT, true);
    entry.blockBytes = view.getInt32(memoryAt + at.ENTRY_BLOCK_BYTES_AT, true);
    entry.fileNumber = view.getInt32(memoryAt + at.ENTRY_FILE_NUMBER_AT, true);
    entry.entryBytes = ring.field64(memoryAt + at.ENTRY_BYTES_AT);
    entry.sequence = ring.field64(memoryAt + at.ENTRY_SEQUENCE_AT);
    entry.receivedMs = view.getFloat64(memoryAt + at.ENTRY_RECEIVED_MS_AT, true);
    // From the members: what goes to the medium must be what the host sent.
    const fromDisk = memoryAt < at.RING;
    if (withData && fromDisk && entry.kind === at.KIND_BLOCK && ring.soundData(memoryAt) !== 1) {
      return this.unreadable(`block at journal offset ${J} does not have the hash it was sealed with`);
    }
    return "entry";
  }

  /** Memory offset of journal offset J, with `bytes` of it read back; -1: cannot be read. */
  private window(J: number, bytes: number): number {
    if (J >= this.windowJ && J + bytes <= this.windowJ + this.windowBytes)
      return at.REPLAY + (J - this.windowJ);
    const cached = this.device.get(at.CACHED);
    if (this.cache === null || J + bytes > cached) {
      this.unreadable(`journal offset ${J} is not in the cache (cached up to ${cached})`);
      return -1;
    }
    const want = Math.min(Math.max(bytes, READ_AHEAD_BYTES), WINDOW_BYTES, cached - J);
    this.windowBytes = 0;
    const got = this.cache.read(J, want, this.device.shared.base + at.REPLAY);
    if (got < bytes) {
      this.unreadable(`cache returned ${got} of ${want} bytes at journal offset ${J}`);
      return -1;
    }
    this.windowJ = J;
    this.windowBytes = got;
    return at.REPLAY;
  }

  private unreadable(text: string): ReadOutcome {
    this.unreadableText = text;
    return "unreadable";
  }
}
