/** @module What every logical unit answers by itself (SPC-5): identity, sense, modes, logs, reservations, attentions.
 *
 *  A command passes these gates, in this order (SAM-5 §5.3.3): known opcode, unit attention, reservation, bits of the
 *  CDB, then its own checks. No CDB, however malformed, throws; every task is completed or waits for its data-out.
 *
 *  Data-in is cut to the CDB's allocation length, never to what the initiator expects: the owner of the task sends at
 *  most `expectedInBytes` and reports the rest as residual overflow. */
import { u16, u32 } from "../bytes.ts";
import { encodeInquiry, encodeVpd, type UnitIdentity } from "../inquiry.ts";
import * as op from "../opcodes.ts";
import { encodeFixedSense, type Sense } from "../sense.ts";
import * as senses from "../senses.ts";
import { type Command, type CommandTable, misused } from "./commands.ts";
import { encodeLogPage, encodeSupportedLogPages, LOG_SUPPORTED_PAGES, type LogPage } from "./log.ts";
import {
  CURRENT,
  encodeModeSense,
  type ModeChange,
  type ModeHeader,
  type ModePage,
  type PageControl,
  parseModeSelect,
  SAVED,
  selectPages,
} from "./mode.ts";
import { Nexuses, type NexusesState } from "./nexuses.ts";
import { OUT_LIST_BYTES, Persistent, type PersistentState } from "./persistent.ts";
import type { LogicalUnit } from "./ports.ts";
import { encodeReportLuns } from "./report-luns.ts";
import { encodeSupportedCommands } from "./supported-commands.ts";
import { STATUS_GOOD, STATUS_RESERVATION_CONFLICT, STATUS_TASK_ABORTED, type Task } from "./task.ts";

export interface SpcOptions {
  /** All LUNs of the target, for REPORT LUNS; asked anew each time. Default: LUN 0 alone. */
  readonly luns?: () => readonly number[];
  /** Each nexus gets 29h/00h with its first command (default). A drive behind the tee may do without. */
  readonly announcesPowerOn?: boolean;
  /** PREEMPT AND ABORT: ends what this initiator port has open at the unit, without an answer. Called within `dataOutComplete` of
   *  the PERSISTENT RESERVE OUT, of whose task the port holds nothing. */
  readonly abortTasksOf?: (initiatorPort: string) => void;
}

/** What every unit's state has. */
export interface SpcState extends NexusesState {
  /** Missing: nobody has registered (or an older version wrote it). */
  readonly persistent?: PersistentState;
}

/** The mode pages' current values, hex by page code, as they travel in a handover. */
export type ModePagesState = Readonly<Record<string, string>>;

export abstract class SpcUnit implements LogicalUnit {
  protected readonly nexuses: Nexuses;
  protected readonly persistent: Persistent;
  private readonly abortTasksOf: (initiatorPort: string) => void;
  private readonly luns: () => readonly number[];

  protected constructor(
    private readonly deviceType: number,
    readonly identity: UnitIdentity,
    private readonly commands: CommandTable,
    options: SpcOptions,
    state: SpcState | undefined,
  ) {
    this.persistent = new Persistent(state?.persistent);
    this.abortTasksOf = options.abortTasksOf ?? (() => {});
    this.nexuses = new Nexuses(options.announcesPowerOn ?? true, state);
    this.luns = options.luns ?? (() => [0]);
  }

  // --- what a unit of a device type adds ---
  protected abstract readonly modePages: readonly ModePage[];
  protected abstract readonly logPages: readonly LogPage[];
  /** Carries out a command of the table that is not among those here. */
  protected abstract perform(task: Task): void;
  /** Sense of TEST UNIT READY; null: ready. */
  protected abstract readiness(): Sense | null;
  protected abstract modeHeader(withBlockDescriptor: boolean, control: PageControl): ModeHeader;
  /** Checks what MODE SELECT says beside the pages; a sense refuses the whole list. */
  protected abstract checkModeHeader(
    deviceSpecific: number,
    descriptor: Uint8Array | null,
    at: number,
  ): Sense | null;
  protected abstract applyModeHeader(deviceSpecific: number, descriptor: Uint8Array | null): void;
  /** After pages changed. */
  protected modePagesChanged(_changes: readonly ModeChange[]): void {}
  protected abstract applyRemovalPrevented(prevented: boolean): void;
  protected abstract resetLogs(): void;
  /** Back to the state after power on. */
  protected abstract resetModes(): void;
  /** Data-out of a medium command is complete; false: it is none. */
  protected mediumDataOutComplete(_task: Task): boolean {
    return false;
  }
  /** Aborts a task that was handed to the port; false: it was not. */
  protected abortInPort(_task: Task): boolean {
    return false;
  }

  execute(task: Task) {
    const command = this.commands.of(task.cdb);
    if (command === undefined) return task.completeWithSense(senses.invalidOpcode);
    if (!this.admit(task, command)) return;
    const wrong = misused(task.cdb, command);
    if (wrong >= 0) return task.completeWithSense(senses.invalidFieldInCdb(wrong >> 3, wrong & 7));
    this.dispatch(task);
  }

  /** Attentions and reservations; false: the task was completed here. */
  private admit(task: Task, command: Command): boolean {
    const { attentions } = this.nexuses.of(task.nexus);
    if (attentions.length !== 0 && command.despiteAttention !== true) {
      task.completeWithSense(attentions.shift()!);
      return false;
    }
    const reserved = this.nexuses.conflicts(task.nexus) && command.despiteReservation !== true;
    if (reserved || this.persistent.conflicts(task.nexus.initiatorPort, command.access ?? "write")) {
      // Allowing removal never conflicts, preventing it does (SPC-2 §5.5.1, SPC-5 §5.14.1).
      if (command.opcode !== op.PREVENT_ALLOW || (task.cdb[4]! & 3) !== 0) {
        task.complete(STATUS_RESERVATION_CONFLICT);
        return false;
      }
    }
    return true;
  }

  private dispatch(task: Task) {
    const { cdb } = task;
    switch (cdb[0]) {
      case op.TEST_UNIT_READY:
        return this.end(task, this.readiness());
      case op.REQUEST_SENSE:
        return this.requestSense(task);
      case op.INQUIRY:
        return this.inquiry(task);
      case op.REPORT_LUNS:
        return this.reportLuns(task);
      case op.MODE_SENSE_6:
        return this.modeSense(task, false, cdb[4]!);
      case op.MODE_SENSE_10:
        return this.modeSense(task, true, u16(cdb, 7));
      case op.MODE_SELECT_6:
        return this.takeModeSelect(task, cdb[4]!);
      case op.MODE_SELECT_10:
        return this.takeModeSelect(task, u16(cdb, 7));
      case op.LOG_SENSE:
        return this.logSense(task);
      case op.LOG_SELECT:
        return this.logSelect(task);
      case op.RESERVE_6:
      case op.RESERVE_10:
        // CRH is 0: where somebody has registered, the old way is closed (SPC-3 §5.6.3).
        if (this.persistent.registered) return task.complete(STATUS_RESERVATION_CONFLICT);
        this.nexuses.reservedBy = task.nexus.initiatorPort;
        return task.complete(STATUS_GOOD);
      case op.RELEASE_6:
      case op.RELEASE_10:
        if (this.persistent.registered) return task.complete(STATUS_RESERVATION_CONFLICT);
        if (this.nexuses.reservedBy === task.nexus.initiatorPort) this.nexuses.reservedBy = null;
        return task.complete(STATUS_GOOD);
      case op.PREVENT_ALLOW:
        return this.preventAllow(task);
      case op.PERSISTENT_RESERVE_IN:
      case op.PERSISTENT_RESERVE_OUT:
        return this.persistentReserve(task);
      case op.MAINTENANCE_IN:
        return this.supportedCommands(task);
      default:
        return this.perform(task);
    }
  }

  dataOutComplete(task: Task) {
    if (task.completed || this.mediumDataOutComplete(task)) return;
    const opcode = task.cdb[0];
    if (opcode === op.MODE_SELECT_6 || opcode === op.MODE_SELECT_10) {
      return this.modeSelect(task, opcode === op.MODE_SELECT_10);
    }
    if (opcode === op.PERSISTENT_RESERVE_OUT) return this.persistentReserveOut(task);
    task.complete(STATUS_GOOD);
  }

  abort(task: Task): void {
    task.aborted = true;
    if (!this.abortInPort(task)) task.complete(STATUS_TASK_ABORTED);
  }

  /** The owner aborts its tasks first; here the unit's own state goes back to that after power on. */
  reset(cause: "lun" | "target" | "powerOn"): void {
    this.nexuses.reset(
      cause === "lun"
        ? senses.deviceResetAttention
        : cause === "target"
          ? senses.busResetAttention
          : senses.powerOnAttention,
    );
    if (cause === "powerOn") this.persistent.clear();
    this.resetModes();
    this.applyRemovalPrevented(false);
  }

  nexusLost(nexusId: number): void {
    const before = this.nexuses.removalPrevented;
    this.nexuses.lost(nexusId);
    if (before && !this.nexuses.removalPrevented) this.applyRemovalPrevented(false);
  }

  /** Tells every nexus of something it did not cause (but one that did). */
  attention(sense: Sense, exceptNexusId = -1): void {
    this.nexuses.attention(sense, exceptNexusId);
  }

  /** GOOD, or CHECK CONDITION where there is a sense. */
  protected end(task: Task, sense: Sense | null): void {
    if (sense === null) task.complete(STATUS_GOOD);
    else task.completeWithSense(sense);
  }

  /** GOOD with `bytes` of the parameter buffer, cut to the allocation length. */
  protected reply(task: Task, bytes: number, allocationBytes: number): void {
    task.completeWithData(Math.min(bytes, allocationBytes, task.parameters.length));
  }

  private requestSense(task: Task): void {
    const sense = this.nexuses.of(task.nexus).attentions.shift() ?? this.readiness() ?? senses.noSense;
    this.reply(task, encodeFixedSense(sense, task.parameters), task.cdb[4]!);
  }

  private inquiry(task: Task) {
    const { cdb, parameters } = task;
    const allocationBytes = u16(cdb, 3);
    if ((cdb[1]! & 1) === 0) {
      if (cdb[2] !== 0) return task.completeWithSense(senses.invalidFieldInCdb(2));
      return this.reply(task, encodeInquiry(this.deviceType, this.identity, parameters), allocationBytes);
    }
    const bytes = encodeVpd(this.deviceType, this.identity, cdb[2]!, parameters);
    if (bytes < 0) return task.completeWithSense(senses.invalidFieldInCdb(2));
    this.reply(task, bytes, allocationBytes);
  }

  private reportLuns(task: Task) {
    const bytes = encodeReportLuns(task.cdb[2]!, this.luns(), task.parameters);
    if (bytes < 0) return task.completeWithSense(senses.invalidFieldInCdb(2));
    this.reply(task, bytes, u32(task.cdb, 6));
  }

  private supportedCommands(task: Task) {
    const bytes = encodeSupportedCommands(this.commands, task.cdb, task.parameters);
    if (bytes < 0) return task.completeWithSense(senses.invalidFieldInCdb(-bytes));
    this.reply(task, bytes, u32(task.cdb, 6));
  }

  /** While the unit is reserved the old way, by whomever, neither of the two commands is carried out (SPC-3 §5.6.3). */
  private persistentReserve(task: Task) {
    const { cdb, parameters } = task;
    if (this.nexuses.reservedBy !== null) return task.complete(STATUS_RESERVATION_CONFLICT);
    if (cdb[0] === op.PERSISTENT_RESERVE_IN) {
      return this.reply(task, this.persistent.in(cdb[1]! & 0x1f, parameters), u16(cdb, 7));
    }
    if (u32(cdb, 5) !== OUT_LIST_BYTES) return task.completeWithSense(senses.parameterListLengthError);
    task.outBytes = OUT_LIST_BYTES;
    task.place(task.parametersAddress);
  }

  private persistentReserveOut(task: Task) {
    const { cdb, nexus, parameters } = task;
    if (this.nexuses.reservedBy !== null) return task.complete(STATUS_RESERVATION_CONFLICT);
    const list = parameters.subarray(0, Math.min(task.outReceived, task.outBytes));
    const outcome = this.persistent.out(nexus.initiatorPort, cdb[1]! & 0x1f, cdb[2]!, list);
    if (outcome.kind === "conflict") return task.complete(STATUS_RESERVATION_CONFLICT);
    if (outcome.kind === "refused") return task.completeWithSense(outcome.sense);
    for (const port of outcome.aborted) this.abortTasksOf(port);
    for (const [port, sense] of outcome.attentions) this.nexuses.attentionOf(port, sense);
    task.complete(STATUS_GOOD);
  }

  private preventAllow(task: Task) {
    const code = task.cdb[4]! & 3;
    if (code > 1) return task.completeWithSense(senses.invalidFieldInCdb(4, 1));
    this.nexuses.prevent(task.nexus, code === 1);
    this.applyRemovalPrevented(this.nexuses.removalPrevented);
    task.complete(STATUS_GOOD);
  }

  private modeSense(task: Task, ten: boolean, allocationBytes: number) {
    const { cdb } = task;
    // Two bits: 0 current, 1 changeable, 2 default, 3 saved.
    const bits = cdb[2]! >> 6;
    const control: PageControl = bits === 0 ? CURRENT : bits === 1 ? 1 : bits === 2 ? 2 : SAVED;
    if (control === SAVED) return task.completeWithSense(senses.savingNotSupported);
    const code = cdb[2]! & 0x3f;
    // Page 00h of st and mt: header and block descriptor alone.
    const pages = code === 0 && cdb[3] === 0 ? [] : selectPages(this.modePages, code, cdb[3]!);
    if (pages === null) {
      const known = this.modePages.some((page) => page.code === code);
      return task.completeWithSense(known ? senses.invalidFieldInCdb(3) : senses.invalidFieldInCdb(2, 5));
    }
    const header = this.modeHeader((cdb[1]! & 0x08) === 0, control);
    this.reply(task, encodeModeSense(ten, header, pages, control, task.parameters), allocationBytes);
  }

  private takeModeSelect(task: Task, listBytes: number) {
    if (task.cdb[1]! & 1) return task.completeWithSense(senses.invalidFieldInCdb(1, 0)); // SP
    if (listBytes === 0) return task.complete(STATUS_GOOD);
    task.outBytes = listBytes;
    task.place(task.parametersAddress);
  }

  private modeSelect(task: Task, ten: boolean) {
    const list = task.parameters.slice(0, Math.min(task.outReceived, task.outBytes));
    const selection = parseModeSelect(
      ten,
      list,
      this.modePages,
      this.modeHeader(true, CURRENT).blockDescriptor !== null,
    );
    if (selection.kind === "refused") return task.completeWithSense(selection.sense);
    if (selection.kind === "accepted") {
      const { deviceSpecific, blockDescriptor, blockDescriptorAt, changes } = selection;
      const wrong = this.checkModeHeader(deviceSpecific, blockDescriptor, blockDescriptorAt);
      if (wrong !== null) return task.completeWithSense(wrong);
      this.applyModeHeader(deviceSpecific, blockDescriptor);
      // A page sent back as it is asks for nothing: it must not undo what another page of the list changes.
      const changed = changes.filter(({ page, bytes }) => Buffer.compare(bytes, page.current) !== 0);
      for (const { page, bytes } of changed) page.current.set(bytes);
      this.modePagesChanged(changed);
      this.attention(senses.modeParametersChangedAttention, task.nexus.id);
    }
    task.complete(STATUS_GOOD);
  }

  private logSense(task: Task) {
    const { cdb, parameters } = task;
    if (cdb[1]! & 1) return task.completeWithSense(senses.invalidFieldInCdb(1, 0)); // SP
    const code = cdb[2]! & 0x3f;
    const subpage = cdb[3]!;
    const pointer = u16(cdb, 5);
    const allocationBytes = u16(cdb, 7);
    if (code === LOG_SUPPORTED_PAGES && (subpage === 0 || subpage === 0xff)) {
      if (pointer !== 0) return task.completeWithSense(senses.invalidFieldInCdb(5));
      return this.reply(
        task,
        encodeSupportedLogPages(this.logPages, subpage === 0xff, parameters),
        allocationBytes,
      );
    }
    const page = this.logPages.find((candidate) => candidate.code === code);
    if (page === undefined) return task.completeWithSense(senses.invalidFieldInCdb(2, 5));
    if (subpage !== 0) return task.completeWithSense(senses.invalidFieldInCdb(3));
    const bytes = encodeLogPage(page, pointer, parameters);
    if (bytes < 0) return task.completeWithSense(senses.invalidFieldInCdb(5));
    this.reply(task, bytes, allocationBytes);
  }

  /** Only "reset all counters" (PCR) and the empty list are known. */
  private logSelect(task: Task) {
    const { cdb } = task;
    if (cdb[1]! & 1) return task.completeWithSense(senses.invalidFieldInCdb(1, 0)); // SP
    if (u16(cdb, 7) !== 0) return task.completeWithSense(senses.invalidFieldInCdb(7));
    if (cdb[1]! & 2) this.resetLogs();
    task.complete(STATUS_GOOD);
  }

  protected exportModePages(): ModePagesState {
    const state: Record<string, string> = {};
    for (const page of this.modePages)
      state[page.code.toString(16)] = Buffer.from(page.current).toString("hex");
    return state;
  }

  /** Pages that are unknown here, or of another length, are left out: the state may come from another version. */
  protected importModePages(state: ModePagesState): void {
    for (const page of this.modePages) {
      const bytes = Buffer.from(state[page.code.toString(16)] ?? "", "hex");
      if (bytes.length !== page.current.length) continue;
      for (let i = 2; i < bytes.length; i++) {
        const mask = page.changeable[i]!;
        page.current[i] = (page.current[i]! & ~mask) | (bytes[i]! & mask);
      }
    }
  }
}
