/** @module The Worker of one real drive: owns its transport, and is the reader of a device's journal while it is
 *  coupled (`Follower`). Its calls block; everything that must not wait for a drive lives elsewhere. */
import * as at from "../../wasm/ring/layout.ts";
import { MailboxReceiver } from "../base/mailbox.ts";
import { planGeometry } from "../cache/geometry.ts";
import { CacheReader } from "../cache/reader.ts";
import { driveClock } from "../device/file/clock.ts";
import { bunHash64 } from "../device/file/hash.ts";
import { TapeDrive } from "../device/tape-drive.ts";
import { alignToJournal } from "../director/tee/align.ts";
import { DeviceMemory } from "../director/tee/device-memory.ts";
import { Follower, setOnTape } from "../director/tee/follower.ts";
import { JournalReader, MEDIUM_AT, MEDIUM_BYTES } from "../director/tee/journal-reader.ts";
import { type DriveEnd, FileEnd, IscsiEnd } from "./drive-end.ts";
import type { CacheSpec, DriveOrder, DriveStart, Order, WorkerNotice } from "./protocol.ts";
import { EventSleeper } from "./sleep.ts";

/** Behind what an alignment reads from the medium, beside its own scratch word. */
const HASH_AT = MEDIUM_AT + MEDIUM_BYTES - 128;
/** The drive is asked so often what is on the medium; more often where the cache is small, for what was not asked about
 *  counts as backlog when the drive fails. */
const CONFIRM_EVERY_BYTES = 32 * 1024 * 1024;
const CONFIRM_CACHE_PART = 1 / 8;

const SERVED_WHILE_HUNG: ReadonlySet<DriveOrder["kind"]> = new Set(["eject", "arm", "clearFaults", "faults"]);

export function runDriveWorker(start: DriveStart, tell: (notice: WorkerNotice) => void): void {
  new DriveWorker(start, tell).run();
}

class DriveWorker {
  private readonly mailbox: MailboxReceiver;
  private readonly sleeper: EventSleeper;
  private readonly devices: readonly DeviceMemory[];
  private readonly caches: (CacheReader | null)[];
  private readonly end: DriveEnd;
  private readonly drive: TapeDrive;
  /** Orders that came while the drive hung. */
  private readonly deferred: Order<DriveOrder>[] = [];
  private follower: Follower | null = null;
  private device: DeviceMemory | null = null;
  private deviceIndex = -1;
  private attempt = 0;

  constructor(
    private readonly start: DriveStart,
    private readonly tell: (notice: WorkerNotice) => void,
  ) {
    this.mailbox = new MailboxReceiver(start.mailbox);
    this.sleeper = new EventSleeper(start.mailbox.eventfd);
    this.devices = start.devices.map(({ memory }) => DeviceMemory.view(memory));
    this.caches = start.devices.map(() => null);
    const { transport } = start;
    this.end =
      transport.kind === "iscsi"
        ? new IscsiEnd(transport)
        : new FileEnd(
            transport,
            (address, bytes, into, offset) => this.hash(address, bytes, into, offset),
            () => this.serveWhileHung(),
          );
    this.drive = new TapeDrive(this.end.transport);
  }

  run(): never {
    this.tell({ kind: "started", facts: null });
    for (;;) {
      for (let order = this.nextOrder(); order !== null; order = this.nextOrder()) this.answer(order);
      this.follow();
    }
  }

  private nextOrder(): Order<DriveOrder> | null {
    return this.deferred.shift() ?? (this.mailbox.receive() as Order<DriveOrder> | null);
  }

  private answer(order: Order<DriveOrder>): void {
    this.tell({ kind: "reply", orderId: order.orderId, result: this.carryOut(order) });
  }

  /** Inside a call that does not return: the robot may still take the cartridge, an operator end the hang; all else waits. */
  private serveWhileHung(): void {
    for (let order = this.mailbox.receive(); order !== null; order = this.mailbox.receive()) {
      const request = order as Order<DriveOrder>;
      if (SERVED_WHILE_HUNG.has(request.kind)) this.answer(request);
      else this.deferred.push(request);
    }
  }

  /** Works until there is nothing to do or an order of main may have come. */
  private follow(): void {
    const { follower, device } = this;
    if (follower === null || device === null) {
      this.sleeper.sleep(1000);
      this.mailbox.clearSignal();
      this.end.whenIdle();
      return;
    }
    // A slow drive takes seconds for some entries: orders do not wait for them.
    for (let n = 0; n < 64 && !this.mailbox.waiting; n++) {
      const step = follower.step();
      if (follower.caughtUp) {
        follower.caughtUp = false;
        this.tell({
          kind: "caughtUp",
          driveId: this.start.driveId,
          device: this.deviceIndex,
          attempt: this.attempt,
        });
      }
      if (step === "abandoned") {
        this.follower = null;
        return;
      }
      if (step === "failed") {
        this.giveUp();
        return;
      }
      if (step === "idle") {
        device.setFigure(at.DRIVE_IDLE_MS, this.end.idleMs);
        device.set(at.DRIVE_WAITS_FOR, follower.waitsFor);
        device.setWord(at.DRIVE_SLEEPS, 1);
        const more = device.get(at.RECEIVED) > follower.waitsFor && !follower.takesFromDisk;
        const asked = device.word(at.ORDER_SEQUENCE) !== device.word(at.ORDER_DONE);
        const wanted = device.get(at.WANT_ON_TAPE) > device.get(at.ON_TAPE) && follower.waitsMs < 1000;
        if (!more && (!asked || follower.takesFromDisk)) this.sleeper.sleep(wanted ? 0 : follower.waitsMs);
        device.setWord(at.DRIVE_SLEEPS, 0);
        this.mailbox.clearSignal();
        if (!this.end.whenIdle() && follower.placeLost()) {
          this.drive.forgetModes();
          this.drive.rewind();
          this.drive.setBlockLength(0);
        }
        return;
      }
    }
    device.setFigure(at.DRIVE_IDLE_MS, this.end.idleMs);
  }

  /** The director hears of it; nothing more is done for this device until it says so. */
  private giveUp(): void {
    const failure = this.follower?.failure;
    this.follower = null;
    if (failure === null || failure === undefined) return;
    this.tell({
      kind: "driveFailed",
      driveId: this.start.driveId,
      device: this.deviceIndex,
      attempt: this.attempt,
      operation: failure.operation,
      outcome: failure.outcome,
      senseHex: Buffer.from(failure.sense).toString("hex"),
      text: failure.text,
      J: failure.J,
      position: failure.position,
    });
  }

  private carryOut(order: DriveOrder): unknown {
    switch (order.kind) {
      case "insert":
        return this.insert(order.path);
      case "eject":
        return this.end.eject(this.drive);
      case "load":
        return this.outcome(this.drive.load());
      case "identify":
        return this.identify();
      case "evidence":
        return this.end.evidence(this.drive);
      case "arm":
        return this.end.arm(order.rule);
      case "clearFaults":
        this.end.clearFaults();
        return null;
      case "faults":
        return this.end.faults();
      case "align":
        return this.align(order);
      case "follow":
        this.beginFollowing(order);
        return null;
      case "unfollow":
        this.stopFollowing();
        return null;
    }
  }

  private outcome(outcome: string): unknown {
    return { outcome, senseHex: Buffer.from(this.drive.rawSense).toString("hex") };
  }

  private insert(path: string): unknown {
    const inserted = this.end.insert(path, this.drive);
    if (inserted.kind !== "inserted") return inserted;
    this.drive.forgetModes();
    const ready = this.drive.testUnitReady();
    return ready === "good" ? this.identify() : { kind: "notReady", ...(this.outcome(ready) as object) };
  }

  private identify(): unknown {
    const rewound = this.drive.rewind();
    return {
      kind: rewound === "good" ? "inserted" : "notReady",
      ...this.end.facts(this.drive),
      ...(this.outcome(rewound) as object),
    };
  }

  /** A block of the journal has its hash already, taken when it came from the host: the record on the cartridge gets
   *  that one, so it covers the block's whole way, and 256 KiB are not read once more. What else lies in the device's
   *  memory is hashed there, without a view of it. */
  private hash(address: number, bytes: number, into: DataView, offset: number): void {
    const { device, follower } = this;
    const from = device === null ? -1 : address - device.shared.base;
    if (device === null || follower === null || from < 0 || from + bytes > device.shared.bytes.length) {
      bunHash64(address, bytes, into, offset);
      return;
    }
    const { memoryAt, dataBytes } = follower.reader.entry;
    const isEntry = memoryAt > 0 && from === memoryAt + at.ENTRY_HEADER_BYTES && bytes === dataBytes;
    if (!isEntry) device.ring.hashInto(from, bytes, HASH_AT);
    const hashAt = isEntry ? memoryAt + at.ENTRY_DATA_HASH_AT : HASH_AT;
    const { view } = device.shared;
    into.setUint32(offset, view.getUint32(hashAt, true), true);
    into.setUint32(offset + 4, view.getUint32(hashAt + 4, true), true);
  }

  /** Opened anew for each coupling: a disk may have been replaced since. */
  private cacheOf(index: number): CacheReader | null {
    this.caches[index]?.close();
    this.caches[index] = null;
    const spec = this.start.devices[index]?.cache;
    const device = this.devices[index];
    if (!spec || device === undefined || !device.cacheActive) return null;
    const reader = openReader(spec, device);
    this.caches[index] = reader;
    return reader;
  }

  private align(order: DriveOrder & { kind: "align" }): unknown {
    const device = this.devices[order.device] as DeviceMemory;
    return alignToJournal(
      device,
      this.drive,
      new JournalReader(device, this.cacheOf(order.device)),
      order,
      driveClock.sleepMs,
      driveClock.nowMs,
    );
  }

  private beginFollowing(order: DriveOrder & { kind: "follow" }): void {
    const device = this.devices[order.device] as DeviceMemory;
    this.device = device;
    this.deviceIndex = order.device;
    this.attempt = order.attempt;
    device.setWord(at.COUPLED, this.start.driveId);
    device.setWord(at.DRIVE_EVENTFD, this.start.mailbox.eventfd);
    if (order.fromRing) {
      device.set(at.HISTORY_NEXT, 0); // another cartridge's blocks are no witness
      device.ring.claim(order.fromJ);
      setOnTape(device, order.fromJ, order.position, device.get(at.SEQUENCE));
    }
    this.drive.setBlockLength(0);
    this.follower = new Follower(
      device,
      this.drive,
      this.cacheOf(order.device),
      {
        confirmEveryBytes: confirmEveryBytes(device.get(at.CACHE_BYTES)),
        draining: order.draining,
        answerWithinMs: order.answerWithinMs,
        nowMs: driveClock.nowMs,
        dataAvailableSince: (ms) => {
          this.end.dataAvailableSince(ms);
        },
      },
      order,
    );
  }

  private stopFollowing(): void {
    this.follower = null;
    // After a hang another drive may stand there already.
    if (this.device?.word(at.COUPLED) === this.start.driveId) this.device.setWord(at.COUPLED, -1);
    this.device = null;
    this.deviceIndex = -1;
  }
}

function confirmEveryBytes(cacheBytes: number): number {
  return cacheBytes > 0
    ? Math.min(CONFIRM_EVERY_BYTES, cacheBytes * CONFIRM_CACHE_PART)
    : CONFIRM_EVERY_BYTES;
}

function openReader(spec: CacheSpec, device: DeviceMemory): CacheReader {
  const plan = planGeometry({ ...spec, members: spec.memberPaths.length });
  if (plan.kind === "impossible") throw new Error(`cache of ${spec.owner}: ${plan.key}: ${plan.expected}`);
  // Behind the blocks read from the medium: a follower compares no blocks, an alignment reads headers one by one.
  const scratchBytes = 4 * 1024 * 1024;
  const reader = new CacheReader(device.shared, plan.geometry, {
    offset: MEDIUM_AT + MEDIUM_BYTES - scratchBytes - 4096,
    bytes: scratchBytes,
  });
  for (const [member, path] of spec.memberPaths.entries()) reader.openMember(member, path);
  return reader;
}
