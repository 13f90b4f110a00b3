/** @module Where a file has data and where it has holes. */
import { ENXIO, SEEK_DATA, SEEK_HOLE, type Statx, seek } from "../../base/files.ts";

/** Fewer blocks than its size needs: a hole, or the file system compresses; only then is it worth asking. */
export const mayHaveHoles = (statx: Statx): boolean => statx.blocks * 512 < statx.sizeBytes;

/** The data runs of one file after another, in order, none touching the next; whatever is between them reads as zeros. */
export class DataRuns {
  count = 0;
  starts = new Float64Array(64);
  /** First byte behind the run. */
  ends = new Float64Array(64);

  /** One run: all of it is data. */
  setWhole(sizeBytes: number): void {
    this.count = 0;
    if (sizeBytes > 0) this.#add(0, sizeBytes);
  }

  /** Asks the file system; runs end at `sizeBytes` even if the file has grown. Moves the descriptor's offset.
   *  Returns 0 or -errno; a file system that knows no holes answers with one run. */
  read(fd: number, sizeBytes: number): number {
    this.count = 0;
    let at = 0;
    while (at < sizeBytes) {
      const start = seek(fd, at, SEEK_DATA);
      if (start === -ENXIO) return 0;
      if (start < 0) return start;
      if (start >= sizeBytes) return 0;
      const hole = seek(fd, start, SEEK_HOLE);
      // It shrank in between: what is left of it reads short, which whoever reads it notices.
      const end = hole === -ENXIO ? sizeBytes : hole;
      if (end < 0) return end;
      this.#add(start, Math.min(end, sizeBytes));
      at = end;
    }
    return 0;
  }

  #add(start: number, end: number): void {
    const last = this.count - 1;
    if (last >= 0 && this.ends[last] === start) {
      this.ends[last] = end;
      return;
    }
    if (this.count === this.starts.length) {
      this.starts = doubled(this.starts);
      this.ends = doubled(this.ends);
    }
    this.starts[this.count] = start;
    this.ends[this.count++] = end;
  }
}

function doubled(list: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(list.length * 2);
  larger.set(list);
  return larger;
}
