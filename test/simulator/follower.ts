/** @module Models of the two readers of the journal: the cache's Worker and the drive's. */
import type { DriveId } from "../../src/base/brands.ts";
import { NO_SCORES } from "../../src/director/classify.ts";
import type { Device } from "./device.ts";
import { PAD } from "./journal.ts";
import type { ModelDrive, WriteOutcome } from "./library.ts";
import { check } from "./promises.ts";
import { STRIPE_BYTES } from "./schedule.ts";

const CACHE_BYTES_PER_MS = 400_000;
const SYNC_MS = 0.8;

export class Cacher {
  private busy = false;
  private wanted = 0;

  constructor(private readonly device: Device) {}

  reset(): void {
    this.busy = false;
    this.wanted = 0;
  }

  want(j: number): void {
    if (j <= this.wanted) return;
    this.wanted = j;
    this.kick();
  }

  kick(): void {
    const { journal } = this.device;
    if (this.busy) return;
    let target = Math.floor(journal.received / STRIPE_BYTES) * STRIPE_BYTES;
    if (this.wanted > target && this.wanted <= journal.received && journal.padToStripe())
      target = journal.received;
    if (target > journal.cached) {
      this.work(0.1 + (target - journal.cached) / CACHE_BYTES_PER_MS, () => {
        journal.cached = target;
      });
    } else if (this.wanted > journal.durable && journal.cached >= this.wanted) {
      const synced = journal.cached;
      this.work(SYNC_MS, () => {
        journal.durable = synced;
      });
    }
  }

  private work(durationMs: number, done: () => void): void {
    this.busy = true;
    this.device.later(durationMs, () => {
      this.busy = false;
      done();
      this.device.kick();
    });
  }
}

const DRIVE_BYTES_PER_MS = 100_000;
/** READ POSITION so often. */
const POLL_ENTRIES = 8;
/** A drive that does not answer for so long is failed. */
const WATCH_MS = 300;

export class Follower {
  private drive: ModelDrive | null = null;
  private busy = false;
  private next = 0;
  private confirmed = 0;
  private sincePoll = 0;
  private wanted = 0;
  private attempt = 0;
  private reported = true;
  /** Grows with every start and stop: what a stopped one still does is nobody's. */
  private run = 0;

  constructor(private readonly device: Device) {}

  get driveId(): DriveId | null {
    return this.drive?.id ?? null;
  }

  start(drive: ModelDrive, fromJ: number, position: number, attempt: number): void {
    const { journal } = this.device;
    check(this.drive === null, "a second follower of one journal");
    drive.locate(position);
    this.run++;
    this.drive = drive;
    this.next = this.confirmed = journal.indexFrom(fromJ);
    journal.taken = fromJ;
    journal.onTape = Math.max(journal.onTape, fromJ);
    this.device.cartridge.confirmed = Math.max(this.device.cartridge.confirmed, position);
    this.attempt = attempt;
    this.busy = false;
    this.reported = attempt === 0;
    this.sincePoll = 0;
    this.saveCheckpoint();
    this.kick();
  }

  stop(): void {
    this.run++;
    this.drive = null;
    this.busy = false;
    this.wanted = 0;
  }

  want(j: number): void {
    if (j <= this.wanted) return;
    this.wanted = j;
    this.kick();
  }

  /** The front found no room: perhaps a look at the position makes some. */
  roomWanted(): void {
    this.want(this.device.journal.received);
  }

  kick(): void {
    const { drive } = this;
    const { journal } = this.device;
    if (drive === null || this.busy) return;
    this.skipPads();
    this.promote();
    const entry = journal.entries[this.next];
    if (entry === undefined) {
      if (journal.onTape < journal.received) this.synchronize(drive);
      return;
    }
    if (this.wanted > journal.onTape && this.wanted <= journal.taken) {
      this.synchronize(drive);
      return;
    }
    if (journal.demoted ? !journal.inCache(entry) : !journal.inRing(entry.j)) {
      check(
        journal.demoted && entry.endJ > journal.cached,
        `entry at ${entry.j} was overwritten before it was on tape`,
      );
      return;
    }
    const bytes = entry.endJ - entry.j;
    this.call(
      0.02 + bytes / DRIVE_BYTES_PER_MS,
      () => {
        // Its bytes must still be there when the drive has them.
        check(
          journal.demoted ? journal.inCache(entry) : journal.inRing(entry.j),
          "bytes changed under the drive",
        );
        const outcome = drive.write(entry.item);
        if (outcome.kind !== "good" || !entry.synchronize) return outcome;
        return drive.synchronize();
      },
      () => {
        this.next++;
        journal.taken = entry.endJ;
        if (entry.synchronize || ++this.sincePoll >= POLL_ENTRIES) this.poll(drive);
      },
    );
  }

  private skipPads(): void {
    const { journal } = this.device;
    while (journal.entries[this.next]?.item === PAD) journal.taken = journal.entries[this.next++]!.endJ;
  }

  /** 617: what is still to be taken is in the ring. */
  private promote(): void {
    const { journal } = this.device;
    if (journal.demoted && journal.inRing(journal.taken)) journal.demoted = false;
    if (journal.demoted || this.reported) return;
    this.reported = true;
    this.device.carrier.answer({ kind: "caughtUp", attempt: this.attempt }, 0.5);
  }

  private synchronize(drive: ModelDrive): void {
    this.call(
      1,
      () => drive.synchronize(),
      () => this.poll(drive),
    );
  }

  /** READ POSITION's buffered fields. */
  private poll(drive: ModelDrive): void {
    const { journal, cartridge } = this.device;
    this.sincePoll = 0;
    const blocks = drive.blocksOnMedium();
    for (; this.confirmed < this.next; this.confirmed++) {
      const entry = journal.entries[this.confirmed]!;
      if (entry.item >= blocks) break;
      journal.onTape = Math.max(journal.onTape, entry.endJ);
    }
    cartridge.confirmed = Math.max(cartridge.confirmed, blocks);
    journal.checkMarks();
    this.saveCheckpoint();
  }

  private saveCheckpoint(): void {
    const { journal } = this.device;
    const confirmedJ = journal.onTape;
    this.device.later(0.5, () => {
      journal.checkpoint = Math.max(journal.checkpoint, confirmedJ);
      this.device.kick();
    });
  }

  private call(durationMs: number, carryOut: () => WriteOutcome, good: () => void): void {
    const { run } = this;
    this.busy = true;
    this.device.later(durationMs, () => {
      if (run !== this.run) return;
      const outcome = carryOut();
      if (outcome.kind === "hang") {
        this.device.later(WATCH_MS, () => run === this.run && this.fail(outcome));
        return;
      }
      this.busy = false;
      if (outcome.kind === "good") good();
      else this.fail(outcome);
      this.device.kick();
    });
  }

  private fail(outcome: WriteOutcome): void {
    const { drive, device } = this;
    if (drive === null) return;
    device.trace(() => `drive ${drive.id} fails: ${JSON.stringify(outcome)}`);
    // It gives no further command by itself: the director decides.
    this.busy = true;
    device.carrier.answer(
      {
        kind: "driveFailed",
        attempt: this.attempt,
        drive: drive.id,
        evidence: {
          sense: outcome.kind === "sense" ? outcome.sense : null,
          tapeAlerts: [],
          unreachable: outcome.kind === "unreachable",
          timedOut: outcome.kind === "hang",
          scores: NO_SCORES,
        },
      },
      0.1,
    );
  }
}
