/** @module Finds the frames of a damaged archive by their headers alone: from one to where it says the next one is, and
 *  where that is none, at every multiple of 16. */
import { readFully } from "./files.ts";
import type { Seal } from "./frame.ts";
import { aligned, FRAME, FRAME_ALIGN_BYTES, FRAME_HEADER_BYTES } from "./layout.ts";
import type { Workspace } from "./workspace.ts";

const WINDOW_BYTES = 64 * 1024;

export interface FoundFrame {
  readonly kind: number;
  readonly number: number;
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly hash: bigint;
}

/** Frames that begin in [from, to), in order, nothing of them checked but their headers. Ends early where the file cannot
 *  be read. `at`: 64 KiB of the workspace. */
export function* scanFrames(
  fd: number,
  seal: Seal,
  workspace: Workspace,
  at: number,
  from: number,
  to: number,
): Generator<FoundFrame> {
  const { view } = workspace;
  let offset = from;
  let searching = false;
  while (offset < to) {
    const got = readFully(fd, workspace.base + at, searching ? WINDOW_BYTES : FRAME_HEADER_BYTES, offset);
    if (got < FRAME_HEADER_BYTES) return;
    let place = at;
    const end = at + got - FRAME_HEADER_BYTES;
    while (place <= end && !seal.fits(workspace, place, offset + place - at)) place += FRAME_ALIGN_BYTES;
    offset += place - at;
    searching = place > end;
    if (searching || offset >= to) continue;
    const storedBytes = view.getUint32(place + FRAME.storedBytes, true);
    const frame = {
      kind: view.getUint8(place + FRAME.kind),
      number: view.getUint32(place + FRAME.number, true),
      offset,
      storedBytes,
      plainBytes: view.getUint32(place + FRAME.plainBytes, true),
      hash: view.getBigUint64(place + FRAME.hash, true),
    };
    yield frame;
    offset += aligned(FRAME_HEADER_BYTES + storedBytes);
  }
}
