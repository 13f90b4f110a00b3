/** @module What a host knows of a cartridge: every object that it sent, in the order of the tape, and which of them it was
 *  promised. After a crash the cartridge must be a prefix of that, no shorter than the promise.
 *
 *  An overwrite cuts the tape. Until something of the new data is promised the crash may have come before the cut
 *  reached the tape: then the whole tape from before it must still be there. */
import { CartridgeReader } from "../../src/cli/demo/cartridge-reader.ts";

export interface SentObject {
  /** 0: a filemark. */
  readonly bytes: number;
  readonly hash: bigint;
}

export const FILEMARK: SentObject = { bytes: 0, hash: 0n };

export class TapeModel {
  objects: SentObject[] = [];
  /** So many of `objects` are on the cartridge for certain. */
  promised = 0;
  private before: readonly SentObject[] | null = null;
  private serial = "";

  constructor(readonly barcode: string) {}

  get mayBeUncut(): boolean {
    return this.before !== null;
  }

  send(object: SentObject): void {
    this.objects.push(object);
  }

  /** All that was sent is on the cartridge. */
  promiseAll(): void {
    this.promised = this.objects.length;
    this.before = null;
  }

  /** The host stands at `position` (everything sent before is on the cartridge), and the next object goes there. */
  cutAt(position: number): void {
    this.promiseAll();
    if (position >= this.objects.length) return;
    this.before = this.objects;
    this.objects = this.objects.slice(0, position);
    this.promised = position;
  }

  get bytes(): number {
    return this.objects.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  filemarkPositions(): number[] {
    return this.objects.flatMap(({ bytes }, index) => (bytes === 0 ? [index] : []));
  }

  /** Throws where the cartridge is not what it must be; then goes on from what is there. */
  check(path: string): void {
    const reader = new CartridgeReader(path);
    try {
      const { barcode, serial } = reader.header;
      if (barcode !== this.barcode) throw new Error(`${path}: the label says ${barcode}`);
      if (this.serial !== "" && serial !== this.serial)
        throw new Error(`${barcode}: serial ${serial}, it was ${this.serial}`);
      this.serial = serial;
      const found: SentObject[] = [];
      for (const { bytes, hash } of reader.objects(true)) found.push({ bytes, hash });
      const wrong = differs(found, this.objects, this.promised);
      if (wrong === null) this.objects = this.objects.slice(0, found.length);
      else if (this.before === null || differs(found, this.before, this.before.length) !== null)
        throw new Error(
          `${barcode}: ${wrong}${this.before === null ? "" : ` (nor what was before the cut)`}`,
        );
      else this.objects = [...this.before];
      this.promiseAll();
    } finally {
      reader.close();
    }
  }
}

function differs(found: readonly SentObject[], sent: readonly SentObject[], least: number): string | null {
  const shape = `${found.length} objects, ${sent.length} sent, ${least} promised`;
  const same = found.findIndex((object, index) => {
    return object.bytes !== sent[index]?.bytes || object.hash !== sent[index]?.hash;
  });
  if (same >= 0) {
    const object = found[same] as SentObject;
    const sentAt = sent.flatMap((one, index) =>
      one.hash === object.hash && one.bytes === object.bytes ? [index] : [],
    );
    const what = object.bytes === 0 ? "a filemark" : `${object.bytes} bytes`;
    const where = sentAt.length === 0 ? "never sent" : `sent as object ${sentAt.slice(0, 3)}`;
    return `object ${same} (${what}, ${where}) is not what was sent there; ${shape}`;
  }
  return found.length < least ? `promised objects are missing: ${shape}` : null;
}
