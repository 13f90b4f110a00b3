/** @module Model of the host and of the front: the host sends its program in order, with some commands under way at a
 *  time; the front finds places, takes data in, and answers by the rule. A host whose session broke comes back, reads the position,
 *  and goes on from there. */

import {
  ACK_NOW,
  ACKNOWLEDGEMENT_WORDS,
  COMMAND_BARRIER,
  COMMAND_FILEMARKS_IMMEDIATE,
  COMMAND_WRITE,
  COMMAND_WRITE_UNBUFFERED,
  REPORT,
  WAIT_BOTH,
  WAIT_DURABLE,
  WAIT_ON_TAPE,
} from "../../src/director/acknowledge.ts";
import type { Flow } from "../../src/director/states.ts";
import {
  CACHE_HEALTHY,
  FLOW_BUSY,
  FLOW_NORMAL,
  FLOW_REDUCED,
  FLOW_REPORT,
  FLOW_SUSPENDED,
} from "../../wasm/ring/layout.ts";
import type { Device } from "./device.ts";
import { check } from "./promises.ts";
import type { HostOperation } from "./schedule.ts";

export const FLOW_NUMBERS: Readonly<Record<Flow, number>> = {
  normal: FLOW_NORMAL,
  suspended: FLOW_SUSPENDED,
  reduced: FLOW_REDUCED,
  busy: FLOW_BUSY,
  report: FLOW_REPORT,
};

const COMMANDS: Readonly<Record<HostOperation["kind"], number>> = {
  write: COMMAND_WRITE,
  unbuffered: COMMAND_WRITE_UNBUFFERED,
  filemark: COMMAND_BARRIER,
  filemarkImmediate: COMMAND_FILEMARKS_IMMEDIATE,
  barrier: COMMAND_BARRIER,
};

interface Command {
  readonly kind: HostOperation["kind"];
  readonly command: number;
  readonly bytes: number;
  /** Items that the host has sent with and before it. */
  readonly itemsBefore: number;
  readonly item: number;
  endJ: number;
}

const NOT_PLACED = -1;
const LINK_BYTES_PER_MS = 500_000;
const BUSY_RETRY_MS = 100;

export class Front {
  private underWay: Command[] = [];
  private next = 0;
  private itemsSent = 0;
  private transferring = false;
  private paceUntilMs = 0;
  private timerSet = false;
  private pumping = false;
  private pumpAgain = false;
  connected = true;
  /** The host got an error. */
  failed = false;
  /** Items before it were acknowledged; ... by a barrier, durably. */
  acknowledged = 0;
  promised = 0;
  acknowledgements = 0;
  readonly itemKinds: HostOperation["kind"][];

  constructor(private readonly device: Device) {
    this.itemKinds = device.plan.program.map((one) => one.kind).filter((kind) => kind !== "barrier");
  }

  get done(): boolean {
    return this.failed || (this.underWay.length === 0 && this.next >= this.device.plan.program.length);
  }

  /** The session broke with the gateway: what was under way has no answer, and only barriers still bind. */
  lose(): void {
    this.underWay = [];
    this.transferring = false;
    this.timerSet = false;
    this.connected = false;
    this.acknowledged = this.promised;
  }

  /** READ POSITION, and on from there. */
  reconnect(position: number): void {
    check(
      position >= this.promised,
      `position ${position} after a restart, a barrier promised ${this.promised}`,
    );
    this.connected = true;
    this.itemsSent = position;
    this.acknowledged = Math.min(this.acknowledged, position);
    let items = 0;
    this.next = this.device.plan.program.findIndex((one) => one.kind !== "barrier" && items++ === position);
    if (this.next === -1) this.next = this.device.plan.program.length;
    this.pump();
  }

  pump(): void {
    if (this.pumping) {
      this.pumpAgain = true;
      return;
    }
    this.pumping = true;
    do {
      this.pumpAgain = false;
      if (this.connected && !this.failed) {
        this.send();
        this.place();
        this.answer();
      }
    } while (this.pumpAgain);
    this.pumping = false;
  }

  private send(): void {
    const { program, queueDepth } = this.device.plan;
    while (this.underWay.length < queueDepth && this.next < program.length) {
      const operation = program[this.next++]!;
      const hasItem = operation.kind !== "barrier";
      this.underWay.push({
        kind: operation.kind,
        command: COMMANDS[operation.kind],
        bytes: "bytes" in operation ? operation.bytes : 0,
        item: hasItem ? this.itemsSent : -1,
        itemsBefore: hasItem ? ++this.itemsSent : this.itemsSent,
        endJ: NOT_PLACED,
      });
    }
  }

  private wakeAfter(delayMs: number): void {
    if (this.timerSet) return;
    this.timerSet = true;
    this.device.later(delayMs, () => {
      this.timerSet = false;
      this.pump();
    });
  }

  /** RED-17b: no place, no request for data. Places are given in order. */
  private place(): void {
    const { device } = this;
    const { journal, state } = device;
    const command = this.underWay.find((one) => one.endJ === NOT_PLACED);
    if (command === undefined || this.transferring) return;
    if (command.item === -1) {
      command.endJ = journal.received;
      this.pumpAgain = true;
      return;
    }
    if (state.flow === "suspended") return;
    if (state.flow === "report") {
      this.fail();
      return;
    }
    if (state.flow === "busy") {
      this.wakeAfter(BUSY_RETRY_MS);
      return;
    }
    const nowMs = device.world.timeline.nowMs;
    if (state.flow === "reduced" && nowMs < this.paceUntilMs) {
      this.wakeAfter(this.paceUntilMs - nowMs);
      return;
    }
    if (!journal.reserve(command.bytes)) {
      device.follower.roomWanted();
      return;
    }
    if (state.flow === "reduced")
      this.paceUntilMs = nowMs + ((command.bytes + 512) * 1000) / Math.max(1, state.flowBytesPerSecond);
    this.transferring = true;
    device.later(device.plan.thinkMs + command.bytes / LINK_BYTES_PER_MS, () => {
      this.transferring = false;
      command.endJ = journal.append(command.item, command.kind === "filemark").endJ;
      journal.checkMarks();
      device.kick();
    });
  }

  private answer(): void {
    const { device } = this;
    let wantDurable = 0;
    let wantOnTape = 0;
    for (let i = 0; i < this.underWay.length; i++) {
      const command = this.underWay[i]!;
      if (command.endJ === NOT_PLACED) break;
      const code = device.world.rules.acknowledge(
        command.command,
        command.endJ,
        device.journal,
        FLOW_NUMBERS[device.state.flow],
        CACHE_HEALTHY,
      );
      if (code === ACK_NOW) {
        this.underWay.splice(i--, 1);
        this.good(command);
        this.pumpAgain = true;
      } else if (code === REPORT) {
        this.fail();
        return;
      } else if (code === WAIT_DURABLE) wantDurable = command.endJ;
      else if (code === WAIT_ON_TAPE) wantOnTape = command.endJ;
      else if (code === WAIT_BOTH) wantDurable = wantOnTape = command.endJ;
      else device.trace(() => `item ${command.item}: ${ACKNOWLEDGEMENT_WORDS[code]}`);
    }
    if (wantDurable > 0) device.cacher.want(wantDurable);
    if (wantOnTape > 0) device.follower.want(wantOnTape);
  }

  /** GOOD leaves. The promise is checked against what the model really holds, not against the rule. */
  private good(command: Command): void {
    const { device } = this;
    const { journal, state } = device;
    check(this.device.state.flow !== "suspended", "GOOD while transfer is suspended (606)");
    check(journal.received >= command.endJ, "GOOD for what was not received");
    if (command.command === COMMAND_BARRIER || command.command === COMMAND_WRITE_UNBUFFERED) {
      check(journal.durable >= command.endJ, "a barrier's GOOD before it was durable in the cache");
      if (state.flow === "normal" && !device.cartridge.spoiled)
        check(
          device.cartridge.goodBlocks() >= command.itemsBefore,
          "a barrier's GOOD before it was on tape, and no failover",
        );
      this.promised = Math.max(this.promised, command.itemsBefore);
    }
    this.acknowledged = Math.max(this.acknowledged, command.itemsBefore);
    this.acknowledgements++;
    device.trace(() => `GOOD ${command.kind} ${command.item}`);
  }

  /** RED-09, RED-19: an error reaches the host only when the director gave up and the policy says so. */
  private fail(): void {
    const { state } = this.device;
    check(state.name === "Halted" || state.flow === "report", `the host got an error in ${state.name}`);
    check(
      this.device.settings.noSpare === "report" ||
        (state.name === "Halted" && state.reason === "unprotected"),
      "the host got an error, the policy is hold",
    );
    this.failed = true;
    this.underWay = [];
    this.device.trace(() => "the host gets an error and gives its job up");
  }
}
