/** @module The body of a Worker of a run: scans, reads, packs and writes, whatever it is asked next, until it is ended.
 *  The archive it opens for itself. */
import { errorText, O_RDWR, openFile } from "../../base/ffi.ts";
import { closeFd } from "../../base/files.ts";
import { CHUNK_WRITER_BYTES, ChunkWriter } from "../archive/chunk-writer.ts";
import { ArchiveSpace } from "../archive/space.ts";
import { Workspace } from "../archive/workspace.ts";
import { CODEC_IDS, CODEC_TABLES_BYTES } from "../codec/codec.ts";
import { Entry, KIND } from "../entry.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";
import { ScanDesk } from "../scan/desk.ts";
import { TreeOpener } from "./access.ts";
import { ChunkFiller } from "./filler.ts";
import type { Job } from "./jobs.ts";
import type { Complaint, JobAnswer, ReaderAnswer, ReaderOrder, ReaderStart } from "./messages.ts";
import { FileReader } from "./reader.ts";

const PAGE_BYTES = 65536;

/** What a Worker has of the outside. */
export interface WorkerPort {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
}

export function runBackupReader(start: ReaderStart, port: WorkerPort): void {
  const say = (answer: ReaderAnswer, transfer: ArrayBuffer[] = []) => port.postMessage(answer, transfer);
  const desk = ReadDesk.open(start);
  if (typeof desk === "string") {
    say({ type: "failed", text: desk });
    return;
  }
  const scan = new ScanDesk((notice, transfer) => port.postMessage(notice, transfer));
  port.onmessage = (event: MessageEvent) => {
    const order = event.data as ReaderOrder;
    switch (order.type) {
      case "scanRules":
      case "scanJob":
        scan.take(order);
        return;
      case "job": {
        const answer = desk.read(order.job);
        say(answer, [answer.records.buffer as ArrayBuffer]);
        return;
      }
      case "flush":
        say(desk.flush());
        return;
      case "close":
        scan.close();
        desk.close();
        say({ type: "closed" });
    }
  };
  say({ type: "ready" });
}

/** One thread's reader and writer. */
class ReadDesk {
  readonly #fd: number;
  readonly #opener = new TreeOpener();
  readonly #reader: FileReader;
  readonly #filler: ChunkFiller;
  readonly #writer: ChunkWriter;
  readonly #entry = new Entry();
  readonly #decoder = new RecordDecoder();
  readonly #encoder = new RecordEncoder();
  #complaints: Complaint[] = [];
  #strayed: string[] = [];

  static open(start: ReaderStart): ReadDesk | string {
    const fd = openFile(start.archivePath, O_RDWR);
    return fd < 0 ? `${start.archivePath}: ${errorText(fd)}` : new ReadDesk(start, fd);
  }

  private constructor(start: ReaderStart, fd: number) {
    this.#fd = fd;
    const areaAt = Math.ceil((PAGE_BYTES + CODEC_TABLES_BYTES) / PAGE_BYTES) * PAGE_BYTES;
    const pages = Math.ceil((areaAt + CHUNK_WRITER_BYTES) / PAGE_BYTES) + 1;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const workspace = new Workspace(memory, PAGE_BYTES);
    this.#writer = new ChunkWriter({
      fd,
      workspace,
      areaAt,
      codec: CODEC_IDS[start.codec],
      space: new ArchiveSpace(start.shared),
      salt: start.salt,
    });
    this.#filler = new ChunkFiller(start.pack, this.#writer, memory);
    this.#reader = new FileReader({
      opener: this.#opener,
      filler: this.#filler,
      memory,
      base: workspace.base,
      complain: (entry, text) => this.#complaints.push({ path: entry.path.slice(0, entry.pathBytes), text }),
      stray: (key) => this.#strayed.push(key),
    });
  }

  read(job: Job): JobAnswer {
    this.#complaints = [];
    this.#strayed = [];
    this.#encoder.reset();
    this.#decoder.open(job.records);
    const before = this.#reader.readBytes;
    let files = 0;
    while (this.#decoder.next(this.#entry)) {
      if (this.#filler.fault === null) this.#reader.read(this.#entry);
      if (this.#entry.kind === KIND.file) files++;
      this.#encoder.add(this.#entry);
    }
    return {
      type: "answer",
      ordinal: job.ordinal,
      pass: job.pass,
      records: this.#encoder.take(),
      files,
      readBytes: this.#reader.readBytes - before,
      complaints: this.#complaints,
      strayed: this.#strayed,
      fault: this.#filler.fault,
    };
  }

  close(): void {
    this.#reader.close();
    this.#opener.close();
    closeFd(this.#fd);
  }

  flush(): ReaderAnswer {
    this.#filler.flush();
    return {
      type: "flushed",
      rows: this.#writer.takeRows(),
      abandoned: this.#writer.takeAbandoned(),
      fault: this.#filler.fault,
    };
  }
}
