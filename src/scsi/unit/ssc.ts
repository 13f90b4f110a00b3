/** @module The tape drive's logical unit (SSC-5) over a port: the same class faces the host over the tee, and runs inside a
 *  file drive over its medium.
 *
 *  It decodes, checks and encodes; what moves or alters the medium goes to the port as `task.tape`, in the order in
 *  which it came. WRITE(6) and READ(6) take a way of their own that allocates nothing.
 *
 *  A cartridge change is noticed with the next command, by the port's `medium`: every nexus then has 28h/00h pending,
 *  but the one whose LOAD brought the cartridge in. */
import { i24, i64, putU16, putU24, u16, u24, u32, u64 } from "../bytes.ts";
import { DEVICE_TYPE_TAPE, type TapeIdentity } from "../inquiry.ts";
import * as op from "../opcodes.ts";
import type { Sense } from "../sense.ts";
import * as senses from "../senses.ts";
import { encodeAttributes } from "./attributes.ts";
import { tapeCommands } from "./commands.ts";
import { encodeDensitySupport } from "./density.ts";
import type { LogPage } from "./log.ts";
import type { ModeChange, ModeHeader, ModePage, PageControl } from "./mode.ts";
import type { TapePort } from "./ports.ts";
import { type ModePagesState, type SpcOptions, type SpcState, SpcUnit } from "./spc.ts";
import { tapeLogPages } from "./tape-logs.ts";
import { BLOCK_BYTES_MAX, TapeModes } from "./tape-modes.ts";
import { READ_POSITION_EXTENDED, READ_POSITION_LONG, READ_POSITION_SHORT } from "./tape-position.ts";
import { STATUS_GOOD, STATUS_RESERVATION_CONFLICT, type Task } from "./task.ts";

export { BLOCK_BYTES_MAX } from "./tape-modes.ts";

/** What travels in a handover (RED-24): plain data, through JSON and back. */
export interface SscState extends SpcState {
  readonly version: 1;
  /** Block length of the mode parameters; 0: variable. */
  readonly blockBytes: number;
  readonly bufferedMode: number;
  readonly modePages: ModePagesState;
}

export interface SscOptions extends SpcOptions {
  readonly identity: TapeIdentity;
  readonly port: TapePort;
  readonly state?: SscState;
  /** Largest block, told by READ BLOCK LIMITS; also the most that one READ or WRITE of fixed blocks moves (count x
   *  length). Default: 8 MiB. */
  readonly blockBytesMax?: number;
}

export class SscUnit extends SpcUnit {
  protected readonly modePages: readonly ModePage[];
  protected readonly logPages: readonly LogPage[];
  private readonly modes: TapeModes;
  private readonly port: TapePort;
  private readonly blockBytesMax: number;
  private knownLoaded: boolean;
  private knownBarcode: string;
  /** Who asked for the LOAD under way, of which cartridge; -1: nobody. */
  private loaderNexusId = -1;
  private loaderBarcode = "";

  constructor(options: SscOptions) {
    super(DEVICE_TYPE_TAPE, options.identity, tapeCommands, options, options.state);
    this.port = options.port;
    this.blockBytesMax = options.blockBytesMax ?? BLOCK_BYTES_MAX;
    this.knownLoaded = this.port.medium.loaded;
    this.knownBarcode = this.port.medium.barcode;
    this.modes = new TapeModes(this.port.medium, this.blockBytesMax);
    this.modePages = this.modes.pages;
    this.logPages = tapeLogPages(this.port, () => this.modes.isCompressing);
    if (options.state !== undefined) {
      this.modes.blockBytes = options.state.blockBytes;
      this.modes.bufferedMode = options.state.bufferedMode;
      this.importModePages(options.state.modePages);
    }
  }

  /** Data compression is on (mode page 0Fh). */
  get isCompressing(): boolean {
    return this.modes.isCompressing;
  }

  exportState(): SscState {
    return {
      version: 1,
      blockBytes: this.modes.blockBytes,
      bufferedMode: this.modes.bufferedMode,
      modePages: this.exportModePages(),
      persistent: this.persistent.export(),
      ...this.nexuses.export(),
    };
  }

  /** The cartridge is another one although the port's `medium` may look the same. */
  mediumChanged(): void {
    this.knownLoaded = this.port.medium.loaded;
    this.knownBarcode = this.port.medium.barcode;
    this.loaderNexusId = -1;
    this.attention(senses.mediumChangedAttention);
  }

  override execute(task: Task) {
    const { medium } = this.port;
    if (medium.loaded !== this.knownLoaded || medium.barcode !== this.knownBarcode) this.noticeMedium();
    const opcode = task.cdb[0];
    if (opcode === op.WRITE_6 || opcode === op.READ_6) this.transfer(task, opcode === op.WRITE_6);
    else super.execute(task);
  }

  private noticeMedium(): void {
    const { loaded, barcode } = this.port.medium;
    if (loaded) {
      const isAskedFor = barcode === this.loaderBarcode;
      this.attention(senses.mediumChangedAttention, isAskedFor ? this.loaderNexusId : -1);
      this.loaderNexusId = -1;
    }
    this.knownLoaded = loaded;
    this.knownBarcode = barcode;
  }

  /** READ(6) and WRITE(6), from the gates to the port. */
  private transfer(task: Task, isWrite: boolean) {
    const { cdb, tape } = task;
    const { attentions } = this.nexuses.of(task.nexus);
    if (attentions.length !== 0) return task.completeWithSense(attentions.shift()!);
    const { nexus } = task;
    if (
      this.nexuses.conflicts(nexus) ||
      this.persistent.conflicts(nexus.initiatorPort, isWrite ? "write" : "read")
    )
      return task.complete(STATUS_RESERVATION_CONFLICT);
    const flags = cdb[1]!;
    if ((flags & (isWrite ? 0x1e : 0x1c)) !== 0 || (cdb[5]! & 0x04) !== 0) {
      return task.completeWithSense(senses.invalidFieldInCdb((cdb[5]! & 0x04) !== 0 ? 5 : 1));
    }
    const fixed = (flags & 1) !== 0;
    if (fixed && this.modes.blockBytes === 0) return task.completeWithSense(senses.invalidFieldInCdb(1, 0));
    if (fixed && (flags & 2) !== 0) return task.completeWithSense(senses.invalidFieldInCdb(1, 1));
    const count = (cdb[2]! << 16) | (cdb[3]! << 8) | cdb[4]!;
    const bytes = fixed ? count * this.modes.blockBytes : count;
    if (bytes > this.blockBytesMax) return task.completeWithSense(senses.invalidFieldInCdb(2));
    const notReady = this.readiness();
    if (notReady !== null) return task.completeWithSense(notReady);
    if (isWrite && this.port.medium.writeProtected) return task.completeWithSense(senses.writeProtected);
    if (count === 0) return task.complete(STATUS_GOOD);
    tape.operation = isWrite ? "write" : "read";
    tape.count = count;
    tape.fixed = fixed;
    tape.blockBytes = fixed ? this.modes.blockBytes : 0;
    tape.modeBlockBytes = this.modes.blockBytes;
    tape.sili = (flags & 2) !== 0;
    tape.immediate = false;
    tape.bufferedMode = this.modes.bufferedMode;
    if (isWrite) task.outBytes = bytes;
    this.port.submit(task);
  }

  protected perform(task: Task) {
    const { cdb } = task;
    switch (cdb[0]) {
      case op.READ_BLOCK_LIMITS:
        return this.readBlockLimits(task);
      case op.REPORT_DENSITY_SUPPORT:
        return this.reportDensitySupport(task);
      case op.READ_ATTRIBUTE:
        return this.readAttribute(task);
      case op.LOAD_UNLOAD:
        return this.loadUnload(task);
      case op.VERIFY_6:
        return this.verify(task);
      case op.WRITE_FILEMARKS_6:
        return this.writeFilemarks(task);
      case op.ERASE_6:
        return this.erase(task);
      case op.REWIND:
        if (!this.begin(task, "rewind")) return;
        task.tape.immediate = (cdb[1]! & 1) !== 0;
        return this.port.submit(task);
      case op.SPACE_6:
        return this.space(task, i24(cdb, 2));
      case op.SPACE_16:
        return this.space(task, i64(cdb, 4));
      case op.LOCATE_10:
        return this.locate(task, 0, u32(cdb, 3), cdb[8]!);
      case op.LOCATE_16:
        return this.locate(task, (cdb[1]! >> 3) & 7, u64(cdb, 4), cdb[3]!);
      case op.READ_POSITION:
        return this.readPosition(task);
      default:
        return task.completeWithSense(senses.invalidOpcode);
    }
  }

  /** Readiness, and a clean `task.tape`; false: the task was completed. */
  private begin(task: Task, operation: Task["tape"]["operation"]): boolean {
    const notReady = this.readiness();
    if (notReady !== null) {
      task.completeWithSense(notReady);
      return false;
    }
    const { tape } = task;
    tape.operation = operation;
    tape.count = tape.blockBytes = tape.spaceCode = tape.destination = tape.destinationType = 0;
    tape.partition = tape.serviceAction = 0;
    tape.fixed = tape.sili = tape.immediate = tape.long = false;
    tape.modeBlockBytes = this.modes.blockBytes;
    tape.bufferedMode = this.modes.bufferedMode;
    return true;
  }

  private verify(task: Task) {
    const flags = task.cdb[1]!;
    const fixed = (flags & 1) !== 0;
    if (flags & 2) return task.completeWithSense(senses.invalidFieldInCdb(1, 1)); // BYTCMP
    if (fixed && this.modes.blockBytes === 0) return task.completeWithSense(senses.invalidFieldInCdb(1, 0));
    if (!this.begin(task, "verify")) return;
    task.tape.fixed = fixed;
    task.tape.blockBytes = fixed ? this.modes.blockBytes : 0;
    task.tape.immediate = (flags & 4) !== 0;
    task.tape.count = u24(task.cdb, 2);
    if (task.tape.count === 0) return task.complete(STATUS_GOOD);
    this.port.submit(task);
  }

  private writeFilemarks(task: Task) {
    const immediate = (task.cdb[1]! & 1) !== 0;
    // SSC-5 WRITE FILEMARKS(6): an immediate filemark cannot be had in unbuffered mode.
    if (immediate && this.modes.bufferedMode === 0)
      return task.completeWithSense(senses.invalidFieldInCdb(1, 0));
    if (!this.begin(task, "writeFilemarks")) return;
    task.tape.count = u24(task.cdb, 2);
    task.tape.immediate = immediate;
    if (task.tape.count !== 0 && this.port.medium.writeProtected) {
      return task.completeWithSense(senses.writeProtected);
    }
    this.port.submit(task);
  }

  private erase(task: Task) {
    if (!this.begin(task, "erase")) return;
    if (this.port.medium.writeProtected) return task.completeWithSense(senses.writeProtected);
    task.tape.long = (task.cdb[1]! & 1) !== 0;
    task.tape.immediate = (task.cdb[1]! & 2) !== 0;
    this.port.submit(task);
  }

  private space(task: Task, count: number) {
    const code = task.cdb[1]! & 15;
    if (code !== 0 && code !== 1 && code !== 3) return task.completeWithSense(senses.invalidFieldInCdb(1, 3));
    if (!this.begin(task, "space")) return;
    if (count === 0 && code !== 3) return task.complete(STATUS_GOOD);
    task.tape.spaceCode = code;
    // Further than any tape is long: what a number holds exactly is enough.
    task.tape.count = Math.max(-Number.MAX_SAFE_INTEGER, Math.min(count, Number.MAX_SAFE_INTEGER));
    this.port.submit(task);
  }

  private locate(task: Task, type: number, destination: number, partition: number) {
    const flags = task.cdb[1]!;
    if (type !== 0 && type !== 1 && type !== 3) return task.completeWithSense(senses.invalidFieldInCdb(1, 5));
    const changesPartition = (flags & 2) !== 0;
    if (changesPartition && partition !== 0) {
      return task.completeWithSense(senses.invalidFieldInCdb(task.cdb[0] === op.LOCATE_16 ? 3 : 8));
    }
    if (!this.begin(task, "locate")) return;
    task.tape.destinationType = type;
    task.tape.destination = Math.min(destination, Number.MAX_SAFE_INTEGER);
    task.tape.immediate = (flags & 1) !== 0;
    this.port.submit(task);
  }

  private readPosition(task: Task) {
    const action = task.cdb[1]! & 31;
    // 01h is the short form with vendor-specific identifiers: ours are the logical ones (Linux st asks so).
    const isShort = action === READ_POSITION_SHORT || action === 1;
    if (!isShort && action !== READ_POSITION_LONG && action !== READ_POSITION_EXTENDED) {
      return task.completeWithSense(senses.invalidFieldInCdb(1, 4));
    }
    if (!this.begin(task, "readPosition")) return;
    task.tape.serviceAction = isShort ? READ_POSITION_SHORT : action;
    task.tape.count = u16(task.cdb, 7);
    this.port.submit(task);
  }

  private loadUnload(task: Task) {
    const flags = task.cdb[4]!;
    const load = (flags & 1) !== 0;
    if (flags & 8) return task.completeWithSense(senses.invalidFieldInCdb(4, 3)); // HOLD
    if (load && (flags & 4) !== 0) return task.completeWithSense(senses.invalidFieldInCdb(4, 2)); // EOT
    const { medium } = this.port;
    if (!medium.present && !medium.loaded) {
      return task.completeWithSense(this.port.notReady() ?? senses.mediumNotPresent);
    }
    if (!load && this.nexuses.removalPrevented) return task.completeWithSense(senses.mediumRemovalPrevented);
    if (load && !medium.loaded) {
      this.loaderNexusId = task.nexus.id;
      this.loaderBarcode = medium.barcode;
    }
    const { tape } = task;
    tape.operation = load ? "load" : "unload";
    tape.immediate = (task.cdb[1]! & 1) !== 0;
    tape.bufferedMode = this.modes.bufferedMode;
    this.port.submit(task);
  }

  private readBlockLimits(task: Task): void {
    const { parameters } = task;
    parameters[0] = 0; // granularity: any length
    putU24(parameters, 1, this.blockBytesMax);
    putU16(parameters, 4, 1);
    task.completeWithData(6);
  }

  private reportDensitySupport(task: Task) {
    const flags = task.cdb[1]!;
    if (flags & 2) return task.completeWithSense(senses.invalidFieldInCdb(1, 1)); // MEDIUM TYPE
    const ofMedium = (flags & 1) !== 0;
    const { medium } = this.port;
    if (ofMedium && !medium.loaded) {
      return task.completeWithSense(this.readiness() ?? senses.mediumNotPresent);
    }
    const bytes = encodeDensitySupport(
      ofMedium ? medium.densityCode : null,
      medium.capacityBytes,
      task.parameters,
    );
    this.reply(task, bytes, u16(task.cdb, 7));
  }

  private readAttribute(task: Task) {
    const { cdb } = task;
    const notReady = this.readiness();
    if (notReady !== null) return task.completeWithSense(notReady);
    if (cdb[5] !== 0) return task.completeWithSense(senses.invalidFieldInCdb(5)); // logical volume
    if (cdb[7] !== 0) return task.completeWithSense(senses.invalidFieldInCdb(7)); // partition
    const bytes = encodeAttributes(cdb[1]! & 31, u16(cdb, 8), this.port.medium, task.parameters);
    if (bytes < 0) return task.completeWithSense(senses.invalidFieldInCdb(1, 4));
    this.reply(task, bytes, u32(cdb, 10));
  }

  protected readiness(): Sense | null {
    const sense = this.port.notReady();
    if (sense !== null) return sense;
    const { medium } = this.port;
    if (medium.loaded) return null;
    return medium.present ? senses.initializingCommandRequired : senses.mediumNotPresent;
  }

  protected override mediumDataOutComplete(task: Task): boolean {
    if (task.tape.operation !== "write") return false;
    this.port.dataOutComplete(task);
    return true;
  }

  protected override abortInPort(task: Task): boolean {
    if (task.tape.operation === "none") return false;
    this.port.abort(task);
    return true;
  }

  protected modeHeader(withBlockDescriptor: boolean, control: PageControl): ModeHeader {
    return this.modes.header(withBlockDescriptor, control);
  }

  protected checkModeHeader(deviceSpecific: number, descriptor: Uint8Array | null, at: number): Sense | null {
    return this.modes.checkHeader(deviceSpecific, descriptor, at);
  }

  protected applyModeHeader(deviceSpecific: number, descriptor: Uint8Array | null): void {
    this.modes.applyHeader(deviceSpecific, descriptor);
  }

  protected override modePagesChanged(changes: readonly ModeChange[]): void {
    this.modes.pagesChanged(changes);
  }

  protected applyRemovalPrevented(prevented: boolean): void {
    this.port.setRemovalPrevented(prevented);
  }

  protected resetLogs(): void {
    this.port.resetFigures?.();
  }

  protected resetModes(): void {
    this.modes.reset();
  }
}
