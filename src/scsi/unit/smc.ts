/** @module The medium changer's logical unit (SMC-3) over a port.
 *
 *  Addresses are checked here; whether a source is full and a destination empty is for the port to say when the robot
 *  gets there (`moveSense` is ready for it), since moves may be queued. */
import { u16, u24 } from "../bytes.ts";
import { type ChangerIdentity, DEVICE_TYPE_CHANGER } from "../inquiry.ts";
import * as op from "../opcodes.ts";
import type { Sense } from "../sense.ts";
import * as senses from "../senses.ts";
import { changerPages } from "./changer-modes.ts";
import { changerCommands } from "./commands.ts";
import {
  ELEMENT_ANY,
  ELEMENT_TRANSFER,
  ELEMENT_TRANSPORT,
  type ElementStatusRequest,
  encodeElementStatus,
} from "./element-status.ts";
import type { LogPage } from "./log.ts";
import type { ModeHeader, ModePage } from "./mode.ts";
import type { ChangerPort, Element } from "./ports.ts";
import { type ModePagesState, type SpcOptions, type SpcState, SpcUnit } from "./spc.ts";
import { STATUS_GOOD, type Task } from "./task.ts";

export interface SmcState extends SpcState {
  readonly version: 1;
  readonly modePages: ModePagesState;
}

export interface SmcOptions extends SpcOptions {
  readonly identity: ChangerIdentity;
  readonly port: ChangerPort;
  readonly state?: SmcState;
}

/** What stands in the way of a move, by the elements as they are now; null: nothing. */
export function moveSense(elements: readonly Element[], source: number, destination: number): Sense | null {
  const from = elements.find((element) => element.address === source);
  const to = elements.find((element) => element.address === destination);
  if (from === undefined || to === undefined) return senses.invalidElementAddress;
  if (from.barcode === null) return senses.sourceElementEmpty;
  return to.barcode !== null && to !== from ? senses.destinationElementFull : null;
}

export class SmcUnit extends SpcUnit {
  protected readonly modePages: readonly ModePage[];
  protected readonly logPages: readonly LogPage[] = [];
  private readonly port: ChangerPort;

  constructor(options: SmcOptions) {
    super(DEVICE_TYPE_CHANGER, options.identity, changerCommands, options, options.state);
    this.port = options.port;
    this.modePages = changerPages(this.port);
    if (options.state !== undefined) this.importModePages(options.state.modePages);
  }

  exportState(): SmcState {
    return {
      version: 1,
      modePages: this.exportModePages(),
      persistent: this.persistent.export(),
      ...this.nexuses.export(),
    };
  }

  /** Somebody opened a mail slot: 28h/01h for every nexus. */
  importExportAccessed(): void {
    this.attention(senses.importExportAttention);
  }

  protected perform(task: Task) {
    const { cdb } = task;
    switch (cdb[0]) {
      case op.READ_ELEMENT_STATUS:
        return this.readElementStatus(task);
      case op.INITIALIZE_ELEMENT_STATUS:
      case op.INITIALIZE_ELEMENT_STATUS_WITH_RANGE:
        if (this.isReady(task)) this.port.initializeElementStatus(task);
        return;
      case op.MOVE_MEDIUM:
        return this.moveMedium(task);
      case op.EXCHANGE_MEDIUM:
        return this.exchangeMedium(task);
      case op.POSITION_TO_ELEMENT:
        return this.positionToElement(task);
      default:
        return task.completeWithSense(senses.invalidOpcode);
    }
  }

  private isReady(task: Task): boolean {
    const sense = this.port.notReady();
    if (sense !== null) task.completeWithSense(sense);
    return sense === null;
  }

  private readElementStatus(task: Task) {
    const { cdb } = task;
    const type = cdb[1]! & 15;
    if (type > ELEMENT_TRANSFER) return task.completeWithSense(senses.invalidFieldInCdb(1, 3));
    // The element map is always current: CURDATA asks for nothing that is not so already.
    const request: ElementStatusRequest = {
      type: type === 0 ? ELEMENT_ANY : type === 1 ? 1 : type === 2 ? 2 : type === 3 ? 3 : 4,
      first: u16(cdb, 2),
      count: u16(cdb, 4),
      volumeTags: (cdb[1]! & 0x10) !== 0,
      deviceIds: (cdb[6]! & 1) !== 0,
    };
    this.reply(task, encodeElementStatus(this.port.elements(), request, task.parameters), u24(cdb, 7));
  }

  private moveMedium(task: Task) {
    const { cdb } = task;
    const elements = this.port.elements();
    const source = u16(cdb, 4);
    const destination = u16(cdb, 6);
    const transport = transportOf(elements, u16(cdb, 2));
    if (transport < 0 || !isHolder(elements, source) || !isHolder(elements, destination)) {
      return task.completeWithSense(senses.invalidElementAddress);
    }
    if (this.isReady(task)) this.port.moveMedium(task, transport, source, destination);
  }

  private exchangeMedium(task: Task) {
    const { cdb } = task;
    const elements = this.port.elements();
    const source = u16(cdb, 4);
    const first = u16(cdb, 6);
    const second = u16(cdb, 8);
    const transport = transportOf(elements, u16(cdb, 2));
    if (
      transport < 0 ||
      !isHolder(elements, source) ||
      !isHolder(elements, first) ||
      !isHolder(elements, second)
    ) {
      return task.completeWithSense(senses.invalidElementAddress);
    }
    if (this.isReady(task)) this.port.exchangeMedium(task, transport, source, first, second);
  }

  /** The robot needs no positioning beforehand: a valid address is all that is asked. */
  private positionToElement(task: Task) {
    const elements = this.port.elements();
    const destination = u16(task.cdb, 4);
    if (
      transportOf(elements, u16(task.cdb, 2)) < 0 ||
      !elements.some((element) => element.address === destination)
    ) {
      return task.completeWithSense(senses.invalidElementAddress);
    }
    if (this.isReady(task)) task.complete(STATUS_GOOD);
  }

  protected readiness(): Sense | null {
    return this.port.notReady();
  }

  protected modeHeader(): ModeHeader {
    return { mediumType: 0, deviceSpecific: 0, blockDescriptor: null };
  }

  protected checkModeHeader(): Sense | null {
    return null;
  }

  protected applyModeHeader(): void {}

  protected applyRemovalPrevented(prevented: boolean): void {
    this.port.setRemovalPrevented(prevented);
  }

  protected resetLogs(): void {}

  protected resetModes(): void {
    for (const page of this.modePages) page.current.set(page.defaults);
  }
}

/** The transport element meant: 0 stands for the first (SMC-3); -1: there is no such element. */
function transportOf(elements: readonly Element[], address: number): number {
  let first = -1;
  for (const element of elements) {
    if (element.type !== ELEMENT_TRANSPORT) continue;
    if (element.address === address) return address;
    if (first < 0) first = element.address;
  }
  return address === 0 ? first : -1;
}

/** An element between which cartridges are moved: any but the robot's hand itself. */
function isHolder(elements: readonly Element[], address: number): boolean {
  return elements.some((element) => element.address === address && element.type !== ELEMENT_TRANSPORT);
}
