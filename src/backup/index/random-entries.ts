/** @module Random entries for tests: any byte in names, every kind, every shape of content. Seeded: the same seed gives
 *  the same list. */
import { comparePaths, type Entry, KIND, type Kind, PIECE_BYTES } from "../entry.ts";

/** Numbers in [0, 1) from a seed. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }
}

/** A name of 1 to 12 bytes, of any but NUL and slash; never "." or "..". */
export function randomName(dice: Dice): Uint8Array {
  const few = dice.chance(0.5);
  const name = Uint8Array.from({ length: 1 + dice.below(dice.chance(0.05) ? 255 : 12) }, () => {
    const byte = few ? 0x2d + dice.below(6) : 1 + dice.below(255);
    return byte === 0x2f ? 0x30 : byte;
  });
  return name.every((byte) => byte === 0x2e) ? Uint8Array.of(0x61, ...name) : name;
}

/** Paths in order, each once: directories above a path are not always in the list. */
export function randomPaths(dice: Dice, count: number): Uint8Array[] {
  const directories: Uint8Array[] = [new Uint8Array(0)];
  const seen = new Map<string, Uint8Array>();
  while (seen.size < count) {
    const parent = directories[dice.below(directories.length)] as Uint8Array;
    const name = randomName(dice);
    const path = parent.length === 0 ? name : Uint8Array.of(...parent, 0x2f, ...name);
    seen.set(Buffer.from(path).toString("latin1"), path);
    if (path.length < 2000 && dice.chance(0.2)) directories.push(path);
  }
  if (dice.chance(0.5)) seen.set("", new Uint8Array(0));
  return [...seen.values()].sort((a, b) => comparePaths(a, a.length, b, b.length));
}

/** Fills in everything but the path. */
export function randomEntry(dice: Dice, entry: Entry): void {
  entry.kind = (dice.chance(0.8) ? KIND.file : dice.below(7)) as Kind;
  entry.flags = dice.chance(0.9) ? 0 : dice.below(32);
  entry.mode = dice.chance(0.7) ? 0o644 : dice.below(0o10000);
  entry.uid = dice.chance(0.8) ? 1000 : dice.below(2 ** 32);
  entry.gid = dice.chance(0.8) ? 1000 : dice.below(2 ** 32);
  entry.sizeBytes = dice.chance(0.8) ? dice.below(20_000) : dice.below(2 ** 31);
  entry.mtimeSeconds = dice.chance(0.9) ? 1_700_000_000 + dice.below(100_000) : dice.below(2 ** 40) - 2 ** 39;
  entry.mtimeNs = dice.chance(0.8) ? dice.below(1e9) : 0;
  entry.ctimeSeconds = entry.mtimeSeconds + (dice.chance(0.8) ? 0 : dice.below(1e6) - 5e5);
  entry.ctimeNs = dice.chance(0.5) ? entry.mtimeNs : dice.below(1e9);
  entry.inodeHigh = dice.chance(0.9) ? 0 : dice.below(2 ** 32);
  entry.inodeLow = dice.below(2 ** 32);
  entry.links = dice.chance(0.9) ? 1 : dice.below(2 ** 32);
  entry.device = dice.chance(0.9) ? 8 * 2 ** 20 + 1 : dice.below(2 ** 32);
  entry.specialDevice = entry.kind === KIND.block || entry.kind === KIND.character ? dice.below(2 ** 32) : 0;
  entry.attributes = dice.chance(0.95) ? 0 : dice.below(128);
  entry.linkTarget = entry.kind === KIND.symlink ? dice.bytes(dice.below(100)) : null;
  entry.xattrs = dice.chance(0.95) ? null : dice.bytes(dice.below(300));
  entry.clearContent();
  if (entry.kind === KIND.file && dice.chance(0.8)) randomContent(dice, entry);
}

/** A hash and spans: in the next place of the chunk mostly, as a run writes them. */
export function randomContent(dice: Dice, entry: Entry): void {
  entry.hasContent = true;
  for (let at = 0; at < 32; at++) entry.sha256[at] = dice.below(256);
  const pack = 1 + dice.below(3);
  if (entry.sizeBytes > 0 && entry.sizeBytes <= PIECE_BYTES && dice.chance(0.9)) {
    entry.addSpan(pack, dice.below(20), dice.chance(0.5) ? 8 : 8 + dice.below(PIECE_BYTES), entry.sizeBytes);
    return;
  }
  if (entry.sizeBytes > PIECE_BYTES && dice.chance(0.8)) {
    entry.pieceHashes = new BigUint64Array(dice.below(6)).map(() => BigInt(dice.below(2 ** 32)) << 20n);
  }
  let rest = dice.chance(0.1) ? 0 : entry.sizeBytes;
  let chunk = dice.below(1000);
  for (let span = 0; rest > 0; span++) {
    const bytes = span > 10 ? rest : Math.min(rest, dice.chance(0.5) ? PIECE_BYTES : 1 + dice.below(rest));
    if (dice.chance(0.2)) entry.addSpan(0, 0, 0, bytes);
    else entry.addSpan(pack, chunk++, 8, bytes);
    rest -= bytes;
  }
}

/** All that an entry says, as text that can be compared. */
export function entryText(entry: Entry): string {
  const hex = (bytes: Uint8Array | null) => (bytes === null ? "-" : Buffer.from(bytes).toString("hex"));
  const facts = [
    hex(entry.path.subarray(0, entry.pathBytes)),
    `kind ${entry.kind} flags ${entry.flags} mode ${entry.mode} ${entry.uid}:${entry.gid} size ${entry.sizeBytes}`,
    `m ${entry.mtimeSeconds}.${entry.mtimeNs} c ${entry.ctimeSeconds}.${entry.ctimeNs}`,
    `inode ${entry.inodeHigh}/${entry.inodeLow} links ${entry.links} device ${entry.device}/${entry.specialDevice}`,
    `attributes ${entry.attributes} link ${hex(entry.linkTarget)} xattrs ${hex(entry.xattrs)}`,
  ];
  if (entry.hasContent) {
    const hashes = entry.pieceHashes === null ? "-" : entry.pieceHashes.join();
    facts.push(
      `sha ${hex(entry.sha256)} spans ${entry.spans.subarray(0, 4 * entry.spanCount).join()} ${hashes}`,
    );
  }
  return facts.join("; ");
}
