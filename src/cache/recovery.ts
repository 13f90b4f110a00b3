/** @module After a crash of the gateway: walks the journal on the members from the last checkpoint to its first gap.
 *
 *  (1) An entry counts when its header names its own offset and the sequence number that follows the last one, and the
 *      hashes of header and data are right.
 *  (2) Before an entry is called the gap it is tried with each member left out in turn: a disk that kept old bytes
 *      (it failed just before the crash) or flipped some is seen through.
 *  (3) Walking changes nothing, so a crash while recovering costs nothing. Whoever drains what is yielded to tape then
 *      starts the journal at `resumeJ` with `resumeSequence` and a checkpoint there, BEFORE new data is taken:
 *      - resumeJ is the next stripe's start: the torn stripe is not written again in its lap (rule 9);
 *      - resumeSequence leaves out every number that entries beyond the gap, still on disk, could bear: none of them
 *        can ever continue the new chain.
 *
 *  What is drained begins at `drain`, not at the checkpoint: where the host went back and wrote anew, what it wrote before is
 *  gone from the tape (or must go), and so may be blocks that lie before it. The tape holds everything below the lowest
 *  position written since the checkpoint, and nothing more is certain: draining begins at the last entry written there.
 */
import {
  ENTRY_ALIGN,
  ENTRY_BLOCK_BYTES_AT,
  ENTRY_BYTES_AT,
  ENTRY_COUNT_AT,
  ENTRY_DATA_BYTES_AT,
  ENTRY_DATA_HASH_AT,
  ENTRY_FILE_NUMBER_AT,
  ENTRY_FLAGS_AT,
  ENTRY_HASHED_BYTES,
  ENTRY_HEADER_BYTES,
  ENTRY_HEADER_HASH_AT,
  ENTRY_IMAGE_AT,
  ENTRY_KIND_AT,
  ENTRY_MAGIC,
  ENTRY_MAGIC_AT,
  ENTRY_OFFSET_AT,
  ENTRY_ON_TAPE_AT,
  ENTRY_POSITION_AT,
  ENTRY_SEQUENCE_AT,
  KIND_PAD,
} from "../../wasm/ring/layout.ts";
import type { JournalReader } from "./reader.ts";

export interface RecoveredEntry {
  readonly J: number;
  readonly kind: number;
  readonly flags: number;
  readonly image: number;
  readonly position: number;
  readonly count: number;
  readonly blockBytes: number;
  readonly dataBytes: number;
  readonly fileNumber: number;
  readonly sequence: number;
  /** ON_TAPE when the entry was received. */
  readonly onTape: number;
  /** Header, data and padding. */
  readonly entryBytes: number;
  /** Member whose strips were wrong and had to be reconstructed; -1: none. */
  readonly seenThrough: number;
}

export type GapReason =
  | "unreadable"
  | "noEntry"
  | "wrongOffset"
  | "wrongSequence"
  | "badHeader"
  | "badData"
  | "lapEnd";

export interface RecoveryEnd {
  /** First byte that belongs to no entry of the chain. */
  readonly endJ: number;
  /** Sequence number that was expected there. */
  readonly sequence: number;
  /** "noEntry", "wrongOffset", "wrongSequence": an ordinary end; "bad...": an entry was torn or damaged. */
  readonly reason: GapReason;
  readonly entries: number;
  /** Members whose strips were wrong before the last call that can have been torn. Where it is one, take it out (`failMember`) before draining: whoever
   *  reads the journal then goes by parity. */
  readonly suspects: readonly number[];
  readonly resumeJ: number;
  readonly resumeSequence: number;
  /** From here on the journal is to be carried out on tape; below `position` (null: nothing is to be written) the tape is
   *  as it must be. */
  readonly drain: { readonly J: number; readonly sequence: number; readonly position: number | null };
}

/** Where an entry is read to while it is checked; it lies there while the consumer holds it (header first). */
export interface RecoveryBuffer {
  readonly address: number;
  /** The same bytes. As long as the largest entry. */
  readonly bytes: Uint8Array;
}

export interface RecoveryOptions {
  readonly reader: JournalReader;
  /** The array's checkpoint; null: a new array, J = 0 with sequence 0. */
  readonly from: { readonly J: number; readonly sequence: number } | null;
  readonly buffer: RecoveryBuffer;
  readonly hash?: (bytes: Uint8Array) => bigint;
}

const NOBODY = -1;

export function* recoverJournal(options: RecoveryOptions): Generator<RecoveredEntry, RecoveryEnd, void> {
  const { reader, from } = options;
  const { stripeBytes, cacheBytes, members, parityStrips, stripesMax } = reader.geometry;
  const walk = new EntryCheck(options);
  const startJ = from?.J ?? 0;
  let J = startJ;
  let sequence = from?.sequence ?? 0;
  let entries = 0;
  /** By member: the first entry that had to be seen through. */
  const seen = new Map<number, number>();
  let reason: GapReason = "lapEnd";
  let drain: { J: number; sequence: number; position: number | null } = { J, sequence, position: null };
  while (J - startJ < cacheBytes) {
    let seenThrough = NOBODY;
    let fault = walk.check(J, sequence, NOBODY);
    const firstFault = fault;
    for (let member = 0; fault !== null && parityStrips > 0 && member < members; member++) {
      fault = walk.check(J, sequence, member);
      if (fault === null) seenThrough = member;
    }
    if (fault !== null) {
      reason = firstFault ?? fault;
      break;
    }
    if (seenThrough !== NOBODY && !seen.has(seenThrough)) seen.set(seenThrough, J);
    const entry = walk.entry(J, sequence, seenThrough);
    if (entry.kind !== KIND_PAD && entry.count > 0) {
      if (drain.position === null) drain = { ...drain, position: entry.position };
      else if (entry.position <= drain.position) drain = { J, sequence, position: entry.position };
    }
    yield entry;
    entries++;
    J += entry.entryBytes;
    sequence++;
  }
  const resumeJ = Math.ceil(J / stripeBytes) * stripeBytes;
  const resumeSequence = sequence + cacheBytes / ENTRY_HEADER_BYTES;
  // What the crash interrupted was one call, written to one member after the other: no disk's fault.
  const lastCallJ = resumeJ - stripesMax * stripeBytes;
  const suspects = [...seen].filter(([, firstJ]) => firstJ < lastCallJ).map(([member]) => member);
  return { endJ: J, sequence, reason, entries, suspects, resumeJ, resumeSequence, drain };
}

class EntryCheck {
  readonly #reader: JournalReader;
  readonly #address: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #hash: (bytes: Uint8Array) => bigint;

  constructor({ reader, buffer, hash }: RecoveryOptions) {
    this.#reader = reader;
    this.#address = buffer.address;
    this.#bytes = buffer.bytes;
    this.#view = new DataView(buffer.bytes.buffer, buffer.bytes.byteOffset, buffer.bytes.byteLength);
    this.#hash = hash ?? ((bytes) => Bun.hash.xxHash3(bytes));
  }

  /** null: the entry at J is sound and lies in the buffer. */
  check(J: number, sequence: number, leftOut: number): GapReason | null {
    if (!this.#read(J, ENTRY_HEADER_BYTES, 0, leftOut)) return "unreadable";
    const view = this.#view;
    if (view.getUint32(ENTRY_MAGIC_AT, true) !== ENTRY_MAGIC) return "noEntry";
    if (this.#field64(ENTRY_OFFSET_AT) !== J) return "wrongOffset";
    if (this.#field64(ENTRY_SEQUENCE_AT) !== sequence) return "wrongSequence";
    const headerHash = this.#hash(this.#bytes.subarray(0, ENTRY_HASHED_BYTES));
    if (view.getBigUint64(ENTRY_HEADER_HASH_AT, true) !== headerHash) return "badHeader";
    const dataBytes = view.getUint32(ENTRY_DATA_BYTES_AT, true);
    const entryBytes = this.#field64(ENTRY_BYTES_AT);
    if (!this.#isSane(J, dataBytes, entryBytes)) return "badHeader";
    if (dataBytes > 0 && !this.#read(J + ENTRY_HEADER_BYTES, dataBytes, ENTRY_HEADER_BYTES, leftOut))
      return "unreadable";
    const dataHash = this.#hash(this.#bytes.subarray(ENTRY_HEADER_BYTES, ENTRY_HEADER_BYTES + dataBytes));
    return view.getBigUint64(ENTRY_DATA_HASH_AT, true) === dataHash ? null : "badData";
  }

  /** The entry that `check` found sound. */
  entry(J: number, sequence: number, seenThrough: number): RecoveredEntry {
    const view = this.#view;
    return {
      J,
      kind: view.getUint8(ENTRY_KIND_AT),
      flags: view.getUint8(ENTRY_FLAGS_AT),
      image: this.#field64(ENTRY_IMAGE_AT),
      position: this.#field64(ENTRY_POSITION_AT),
      count: view.getUint32(ENTRY_COUNT_AT, true),
      blockBytes: view.getUint32(ENTRY_BLOCK_BYTES_AT, true),
      dataBytes: view.getUint32(ENTRY_DATA_BYTES_AT, true),
      fileNumber: view.getUint32(ENTRY_FILE_NUMBER_AT, true),
      sequence,
      onTape: this.#field64(ENTRY_ON_TAPE_AT),
      entryBytes: this.#field64(ENTRY_BYTES_AT),
      seenThrough,
    };
  }

  /** Lengths that a sound writer could have put there, and that fit the buffer. */
  #isSane(J: number, dataBytes: number, entryBytes: number): boolean {
    const least = ENTRY_HEADER_BYTES + Math.ceil(dataBytes / ENTRY_ALIGN) * ENTRY_ALIGN;
    return (
      entryBytes % ENTRY_ALIGN === 0 &&
      entryBytes >= least &&
      entryBytes <= this.#reader.geometry.cacheBytes &&
      Number.isSafeInteger(J + entryBytes) &&
      ENTRY_HEADER_BYTES + dataBytes <= this.#bytes.length
    );
  }

  #read(J: number, bytes: number, at: number, leftOut: number): boolean {
    const got =
      leftOut === NOBODY
        ? this.#reader.read(J, bytes, this.#address + at)
        : this.#reader.readWithout(leftOut, J, bytes, this.#address + at);
    return got === bytes;
  }

  #field64(at: number): number {
    return this.#view.getUint32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }
}
