/** @module A whole tee on one thread for tests: SSC unit, tee, journal, follower and a file drive, stepped by hand. The
 *  cache is played by moving its cursors, so that each test says when something is cached or durable. */

import { ptr } from "bun:ffi";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as at from "../../../wasm/ring/layout.ts";
import { createCartridge } from "../../device/file/cartridge.ts";
import { ManualDriveClock } from "../../device/file/clock.ts";
import { FileTransport } from "../../device/file/file-transport.ts";
import { TapeDrive } from "../../device/tape-drive.ts";
import { defaultTapeIdentity } from "../../scsi/inquiry.ts";
import { SscUnit } from "../../scsi/unit/ssc.ts";
import { PARAMETERS_BYTES, Task, type TaskOwner } from "../../scsi/unit/task.ts";
import { DeviceMemory } from "./device-memory.ts";
import { Follower } from "./follower.ts";
import { TeePort } from "./tee-port.ts";

export const MIB = 1048576;

export interface BenchTopOptions {
  readonly ringBytes?: number;
  readonly stripeBytes?: number;
  readonly capacityBytes?: number;
  readonly padBytes?: number;
  readonly paceBytesPerSecond?: number;
  readonly hostLagBytes?: number;
  /** Another drive than the file drive, with a cartridge loaded. */
  readonly drive?: TapeDrive;
}

/** What a host command came to. */
export class HostCommand {
  done = false;
  placed = false;
  constructor(readonly task: Task) {}
  get status(): number {
    return this.task.status;
  }
  get sense(): {
    key: number;
    asc: number;
    ascq: number;
    deferred: boolean;
    eom: boolean;
    filemark: boolean;
  } {
    const { sense } = this.task;
    return {
      key: (sense[2] ?? 0) & 15,
      asc: sense[12] ?? 0,
      ascq: sense[13] ?? 0,
      deferred: ((sense[0] ?? 0) & 0x7f) === 0x71,
      eom: ((sense[2] ?? 0) & 0x40) !== 0,
      filemark: ((sense[2] ?? 0) & 0x80) !== 0,
    };
  }
}

export class BenchTop implements TaskOwner {
  readonly directory = mkdtempSync(join(tmpdir(), "understudy-tee-"));
  readonly path = join(this.directory, "UND001L8.tape");
  readonly device: DeviceMemory;
  readonly tee: TeePort;
  readonly unit: SscUnit;
  readonly clock = new ManualDriveClock(1000);
  readonly transport: FileTransport;
  readonly drive: TapeDrive;
  follower: Follower;
  private readonly commands = new Map<Task, HostCommand>();
  private readonly area = new Uint8Array(new ArrayBuffer(8 * MIB));

  constructor(options: BenchTopOptions = {}) {
    const { ringBytes = 8 * MIB, stripeBytes = 512 * 1024, capacityBytes = 1e9, padBytes = 0 } = options;
    this.device = DeviceMemory.create({ ringBytes, stripeBytes, cacheBytes: 4 * ringBytes });
    this.device.setWord(at.CACHE_STATE, at.CACHE_HEALTHY);
    createCartridge(
      this.path,
      { barcode: "UND001L8", serial: "C001", capacityBytes, earlyWarningBytes: 0 },
      0,
    );
    this.transport = new FileTransport({
      identity: defaultTapeIdentity("D1"),
      clock: this.clock,
      ...(options.paceBytesPerSecond === undefined ? {} : { paceBytesPerSecond: options.paceBytesPerSecond }),
    });
    this.transport.insert(this.path);
    this.drive = options.drive ?? new TapeDrive(this.transport);
    this.drive.rewind();
    this.device.ring.claim(0);
    this.follower = this.follow(0, 0);
    this.tee = new TeePort(this.device, {
      maxBlockBytes: 2 * MIB,
      padBytes,
      hostLagBytes: options.hostLagBytes ?? ringBytes,
      nowMs: () => this.clock.nowMs(),
    });
    this.unit = new SscUnit({ identity: defaultTapeIdentity("V1"), port: this.tee, announcesPowerOn: false });
    this.tee.load({
      image: 7,
      barcode: "UND001L8",
      serial: "C001",
      capacityBytes,
      remainingBytes: capacityBytes,
      writeProtected: false,
      densityCode: 0,
      mediumType: 0,
      mustPosition: false,
    });
    this.unit.mediumChanged();
    this.command((cdb) => cdb.fill(0)); // takes the unit attention
  }

  follow(fromJ: number, position: number, drive: TapeDrive = this.drive): Follower {
    return new Follower(
      this.device,
      drive,
      null,
      { confirmEveryBytes: 64 * MIB, nowMs: () => this.clock.nowMs() },
      { fromJ, position },
    );
  }

  close(): void {
    this.transport.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  // --- the host ---

  command(put: (cdb: Uint8Array) => unknown, expectedOutBytes = 0, expectedInBytes = 0): HostCommand {
    const parameters = new Uint8Array(new ArrayBuffer(PARAMETERS_BYTES));
    const task = new Task(parameters, Number(ptr(parameters)));
    put(task.cdb);
    task.nexus = { id: 1, initiatorName: "iqn.test", initiatorPort: "iqn.test,i,0" };
    task.owner = this;
    task.expectedOutBytes = expectedOutBytes;
    task.expectedInBytes = expectedInBytes;
    const command = new HostCommand(task);
    this.commands.set(task, command);
    this.unit.execute(task);
    return command;
  }

  /** The place came; data goes there when the test says so (`send`). */
  onPlaced(task: Task): void {
    const command = this.commands.get(task);
    if (command !== undefined) command.placed = true;
  }

  onComplete(task: Task): void {
    const command = this.commands.get(task);
    if (command !== undefined) command.done = true;
  }

  /** Brings the data of a placed write: `bytes` of a pattern that names `seed`. */
  send(command: HostCommand, bytes: number, seed: number): void {
    const { task } = command;
    const view = this.memoryAt(task.outAddress, bytes);
    for (let i = 0; i < bytes; i++) view[i] = (seed * 31 + i * 7) & 255;
    task.outReceived = bytes;
    this.unit.dataOutComplete(task);
  }

  /** The host has taken the data-in. */
  taken(command: HostCommand): void {
    command.task.dataInOwner?.dataInTaken(command.task);
  }

  /** Does what lies at a READ's data hold that pattern? */
  holds(command: HostCommand, bytes: number, seed: number): boolean {
    if (command.task.inBytes !== bytes) return false;
    const view = this.memoryAt(command.task.inAddress, bytes);
    for (let i = 0; i < bytes; i++) if (view[i] !== ((seed * 31 + i * 7) & 255)) return false;
    return true;
  }

  private memoryAt(address: number, bytes: number): Uint8Array {
    const { base, bytes: memory } = this.device.shared;
    if (address < base || address + bytes > base + memory.length) return this.area.subarray(0, bytes);
    return memory.subarray(address - base, address - base + bytes);
  }

  // --- the other Workers ---

  /** The drive does all that it can. */
  runDrive(): void {
    for (let n = 0; n < 10_000; n++) {
      const step = this.follower.step();
      if (step === "worked" || this.grantCheckpoint()) continue;
      if (step === "failed" || n > 0) break;
      this.clock.advance(50);
    }
    this.tee.advance();
  }

  /** The cache Worker writes the checkpoint that a cut waits for. */
  private grantCheckpoint(): boolean {
    const wanted = this.device.get(at.WANT_CHECKPOINT);
    if (wanted <= this.device.get(at.CHECKPOINT)) return false;
    this.device.set(at.CHECKPOINT, wanted);
    return true;
  }

  /** The cache Worker has written, and made durable, every whole stripe. */
  runCache(durable = true): void {
    const stripeBytes = this.device.get(at.STRIPE_BYTES);
    const whole = Math.floor(this.device.get(at.RECEIVED) / stripeBytes) * stripeBytes;
    this.device.set(at.CACHED, whole);
    if (durable) this.device.set(at.DURABLE, whole);
    this.device.set(
      at.CHECKPOINT,
      Math.max(this.device.get(at.CHECKPOINT), this.device.get(at.WANT_CHECKPOINT)),
    );
    this.tee.advance();
  }

  setFlow(flow: number): void {
    this.device.setWord(at.FLOW, flow);
    this.tee.advance();
  }
}
