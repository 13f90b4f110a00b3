/** @module A file drive behind our own iSCSI target, in a Worker: a network drive for the contract, whose connection can be
 *  broken at a command of the test's choice. */
import { ptr } from "bun:ffi";
import { rmSync } from "node:fs";
import { CommandReply } from "../../src/base/command-reply.ts";
import { createCartridge } from "../../src/device/file/cartridge.ts";
import { FileTransport } from "../../src/device/file/file-transport.ts";
import type { LogicalUnit } from "../../src/scsi/unit/ports.ts";
import type { Task } from "../../src/scsi/unit/task.ts";
import { Target } from "../../src/target/front-loop.ts";

declare const self: Worker;

export const RELAY_TARGET = "iqn.2026-01.test:relay";
export const RELAY_LUN = 3;

export type RelayOrder =
  | {
      readonly kind: "start";
      readonly path: string;
      readonly capacityBytes: number;
      readonly earlyWarningBytes: number;
    }
  /** The connection breaks at the next command with this opcode, carried out or not. */
  | { readonly kind: "break"; readonly opcode: number; readonly carriedOut: boolean }
  /** The next command with this opcode is not answered. */
  | { readonly kind: "hang"; readonly opcode: number }
  | { readonly kind: "log" }
  | { readonly kind: "stop" };

const AREA_BYTES = 16 * 1024 * 1024;

class Relay implements LogicalUnit {
  readonly opcodes: number[] = [];
  breakAt: (RelayOrder & { kind: "break" }) | null = null;
  hangAt = -1;
  broken = false;
  readonly #area = new Uint8Array(new ArrayBuffer(AREA_BYTES));
  readonly #address = Number(ptr(this.#area));
  readonly #reply = new CommandReply();

  constructor(private readonly drive: FileTransport) {}

  execute(task: Task): void {
    if (task.expectedOutBytes === 0) {
      this.#run(task, task.expectedInBytes > 0 ? "in" : "none");
      return;
    }
    task.outBytes = task.expectedOutBytes;
    task.place(this.#address);
  }

  dataOutComplete(task: Task): void {
    this.#run(task, "out");
  }

  #run(task: Task, direction: "in" | "out" | "none"): void {
    const opcode = task.cdb[0] ?? 0;
    this.opcodes.push(opcode);
    if (opcode === this.hangAt) {
      this.hangAt = -1;
      return;
    }
    const breaks = this.breakAt?.opcode === opcode ? this.breakAt : null;
    if (breaks !== null) {
      this.broken = true;
      this.breakAt = null;
      if (!breaks.carriedOut) return;
    }
    const bytes = direction === "out" ? task.outReceived : direction === "in" ? task.expectedInBytes : 0;
    const reply = this.#reply;
    this.drive.execute(task.cdb, direction, this.#address, bytes, 60_000, reply);
    if (breaks !== null) return;
    if (direction === "in") {
      task.inAddress = this.#address;
      task.inBytes = reply.transferredBytes;
    }
    if (reply.senseBytes > 0) task.completeWithRawSense(reply.sense.subarray(0, reply.senseBytes));
    else task.complete(reply.status);
  }

  abort(task: Task): void {
    task.complete(0x40);
  }

  reset(): void {}

  nexusLost(): void {}
}

async function run(order: RelayOrder & { kind: "start" }): Promise<void> {
  const { path, capacityBytes, earlyWarningBytes } = order;
  createCartridge(path, { barcode: "UND001L8", serial: "C001", capacityBytes, earlyWarningBytes }, 0);
  const identity = { vendor: "UNDRSTDY", product: "FILE-DRIVE", revision: "0001", serial: "D001" };
  const drive = new FileTransport({ identity });
  drive.insert(path);
  const relay = new Relay(drive);
  const units = new Map<number, LogicalUnit>([[RELAY_LUN, relay]]);
  const listen = (port: number) => new Target({ iqn: RELAY_TARGET, address: "127.0.0.1", port, units });
  let target = listen(0);
  const { port } = target;
  let stopped = false;
  self.onmessage = ({ data }: MessageEvent<RelayOrder>) => {
    if (data.kind === "break") relay.breakAt = data;
    else if (data.kind === "hang") relay.hangAt = data.opcode;
    else if (data.kind === "stop") stopped = true;
    self.postMessage(relay.opcodes.splice(0));
  };
  self.postMessage(port);
  while (!stopped) {
    target.pollOnce(2);
    if (relay.broken) {
      relay.broken = false;
      target.stop(0);
      while (!target.stopped) target.pollOnce(0);
      target = listen(port);
    }
    await new Promise(setImmediate);
  }
  target.stop(0);
  drive.close();
  rmSync(path, { force: true });
}

if (!Bun.isMainThread) {
  self.onmessage = ({ data }: MessageEvent<RelayOrder>) => {
    if (data.kind === "start") void run(data);
  };
}
