/** @module Carries the director's effects out on the models, and answers. */
import type { DriveId } from "../../src/base/brands.ts";
import { markFailed, release, setHolds } from "../../src/director/choose.ts";
import type { FaultEvidence } from "../../src/director/classify.ts";
import { addFailure, scoresOf } from "../../src/director/score.ts";
import type { DirectorEffect, DirectorEvent } from "../../src/director/states.ts";
import type { Device } from "./device.ts";
import type { ModelDrive, WriteOutcome } from "./library.ts";
import { check } from "./promises.ts";
import { verifyMedium } from "./verify.ts";

export class Carrier {
  /** Spares asked in this recovery. */
  private readonly asked = new Set<DriveId>();
  private askedInMs = -1;

  constructor(private readonly device: Device) {}

  /** One answer; sometimes its echo comes late. */
  answer(event: DirectorEvent, delayMs: number): void {
    const { device } = this;
    device.later(delayMs, () => device.send(event));
    if (device.world.random.chance(device.world.schedule.echo))
      device.later(delayMs + device.world.random.between(1, 200), () => device.send(event));
  }

  carryOut(effect: DirectorEffect): void {
    const { device } = this;
    const { world, follower, journal } = device;
    if (effect.kind !== "record" && effect.kind !== "setFlow") device.trace(() => JSON.stringify(effect));
    switch (effect.kind) {
      case "stopFollower":
        check(follower.driveId === effect.drive, `drive ${effect.drive} is not the follower's`);
        follower.stop();
        return;
      case "demoteFollower":
        journal.demoted = true;
        return;
      case "gatherEvidence":
        this.answer(
          {
            kind: "gathered",
            attempt: effect.attempt,
            evidence: this.withScores(effect.drive, effect.evidence),
          },
          5,
        );
        return;
      case "reserveSpare":
        this.reserve(effect);
        return;
      case "findCartridge": {
        const at = world.driveWith(device.barcode)?.id ?? "slot";
        this.answer({ kind: "cartridgeFound", attempt: effect.attempt, at }, 30);
        return;
      }
      case "couple": {
        this.checkMine(effect.drive);
        const fails = world.drive(effect.drive).plan.failsCoupling;
        const { attempt } = effect;
        this.answer(
          fails
            ? { kind: "coupleFailed", attempt, text: "no way through the switch" }
            : { kind: "coupled", attempt },
          2,
        );
        return;
      }
      case "prepareImage":
        this.prepareImage(effect);
        return;
      case "takeOut":
        this.takeOut(effect.attempt, world.drive(effect.drive));
        return;
      case "unload":
        this.unload(effect.attempt, world.drive(effect.drive));
        return;
      case "move":
        this.move(effect);
        return;
      case "load":
        this.load(effect.attempt, world.drive(effect.drive));
        return;
      case "verify":
        this.verify(effect);
        return;
      case "follow":
        this.follow(effect);
        return;
      case "markDriveFailed":
        world.pool = markFailed(world.pool, effect.drive);
        return;
      case "releaseDrive":
        this.checkMine(effect.drive);
        world.pool = release(world.pool, effect.drive, effect.suspect);
        return;
      case "score": {
        const { drive, cartridge, verdict } = effect;
        const atMs = world.timeline.nowMs;
        world.history = addFailure(world.history, { drive, cartridge, blame: verdict.blame, atMs });
        return;
      }
      case "reportToHost":
        check(effect.sense.deferred, "the host's report is deferred sense");
        return;
      case "readyToStop":
        check(device.state.stopping, "ready to stop, and nobody asked");
        device.readyToStop = true;
        return;
      default:
        return;
    }
  }

  /** After a crash the pool is what the catalog says; drives reserved and not used are free again. */
  driveAtStart(): DriveId | null {
    const { device } = this;
    const { world } = device;
    let found: DriveId | null = null;
    this.asked.clear();
    for (const drive of world.pool.filter((one) => one.usedBy === device.name)) {
      if (drive.holds === device.barcode && found === null) found = drive.id;
      else world.pool = release(world.pool, drive.id, false);
    }
    return found;
  }

  private withScores(drive: DriveId, evidence: FaultEvidence): FaultEvidence {
    return { ...evidence, scores: scoresOf(this.device.world.history, drive, this.device.barcode) };
  }

  private evidenceOf(drive: DriveId, outcome: WriteOutcome): FaultEvidence {
    const sense = outcome.kind === "sense" ? outcome.sense : null;
    const { history } = this.device.world;
    return {
      sense,
      tapeAlerts: [],
      unreachable: outcome.kind === "unreachable",
      timedOut: false,
      scores: scoresOf(history, drive, this.device.barcode),
    };
  }

  private checkMine(id: DriveId): void {
    const drive = this.device.world.pool.find((one) => one.id === id);
    check(drive?.usedBy === this.device.name, `drive ${id} is not this device's`);
    check(drive?.condition !== "failed", `drive ${id} has failed`);
  }

  private reserve(effect: DirectorEffect & { kind: "reserveSpare" }): void {
    const { device } = this;
    const { world } = device;
    const startedMs = device.state.name === "Streaming" ? -1 : device.state.recovery.startedMs;
    if (effect.excluded.length === 0 || startedMs !== this.askedInMs) this.asked.clear();
    this.askedInMs = startedMs;
    const { pool, drive } = world.rules.choose(world.pool, {
      device: device.name,
      cartridge: device.barcode,
      spares: world.schedule.spares,
      excluded: effect.excluded,
      wanted: effect.wanted,
    });
    if (drive === null) {
      this.answer({ kind: "noSpare", attempt: effect.attempt }, 0.1);
      return;
    }
    const before = world.pool.find((one) => one.id === drive);
    check(before?.usedBy === null && before.condition !== "failed", `spare ${drive} is in use or failed`);
    check(!this.asked.has(drive), `spare ${drive} was used before in this recovery`);
    this.asked.add(drive);
    world.pool = pool;
    const cartridgeIn = world.driveWith(device.barcode)?.id ?? null;
    this.answer({ kind: "spareChosen", attempt: effect.attempt, drive, cartridgeIn }, 0.1);
  }

  private unload(attempt: number, drive: ModelDrive): void {
    if (drive.plan.sticks) {
      this.device.world.faultsSeen.add("stuck");
      this.answer({ kind: "unloadFailed", attempt, text: `drive ${drive.id} keeps it` }, 30);
      return;
    }
    this.answer({ kind: "unloaded", attempt }, 20);
  }

  /** The journal is pinned from its beginning, and the spare's name is on the members with it: one moment. */
  private prepareImage(effect: DirectorEffect & { kind: "prepareImage" }): void {
    const { device } = this;
    const { journal, world } = device;
    const { attempt } = effect;
    check(effect.cartridge === device.barcode, "the cartridge to be replaced is the device's");
    check(device.follower.driveId === null, "an image begins anew, and a drive follows");
    device.later(3, () => {
      const whole = device.knowsImage && Math.max(journal.reserved, journal.received) <= journal.cacheBytes;
      const spare = whole ? world.reserve.shift() : undefined;
      if (spare === undefined) {
        device.imageRefused = whole ? "no spare cartridge" : "the image is not whole";
        return this.answer({ kind: "imageRefused", attempt, text: device.imageRefused }, 0.1);
      }
      journal.restart();
      device.cartridge = spare;
      device.replacements++;
      this.answer({ kind: "imageReady", attempt, cartridge: spare.barcode, fromJ: 0 }, 0.1);
    });
  }

  private takeOut(attempt: number, drive: ModelDrive): void {
    const { device } = this;
    const { world } = device;
    this.checkMine(drive.id);
    check(drive.cartridge !== device.cartridge, "the good cartridge is taken out");
    if (drive.plan.sticks) {
      this.answer({ kind: "takeOutFailed", attempt, stuck: true, text: `drive ${drive.id} keeps it` }, 30);
      return;
    }
    const durationMs = world.robot.book(world.timeline.nowMs, 40);
    let result: "moved" | "failed" = "failed";
    world.timeline.after(durationMs, () => {
      if (!device.alive && world.random.chance(0.5)) return;
      result = world.robot.takeOut(drive, world.slots);
      world.pool = setHolds(world.pool, drive.id, drive.cartridge?.barcode ?? null);
    });
    device.later(durationMs, () =>
      this.answer(
        result === "moved"
          ? { kind: "takenOut", attempt }
          : { kind: "takeOutFailed", attempt, stuck: false, text: "the robot failed" },
        1,
      ),
    );
  }

  /** The robot finishes what it began, whether the gateway lives or not. */
  private move(effect: DirectorEffect & { kind: "move" }): void {
    const { world, barcode } = this.device;
    const { attempt } = effect;
    const from = world.driveWith(barcode);
    const to = world.drive(effect.to);
    const { cartridge } = this.device;
    check(from !== undefined || world.slots.has(cartridge), "the cartridge is in a drive or in a slot");
    check(effect.from === null || effect.from === from?.id, "the director knows where the cartridge is");
    const durationMs = world.robot.book(world.timeline.nowMs, 40);
    let result: ReturnType<typeof world.robot.move> = "unknown";
    world.timeline.after(durationMs, () => {
      if (!this.device.alive && world.random.chance(0.5)) return;
      if (from === undefined) result = world.robot.bring(cartridge, world.slots, to);
      else {
        result = world.robot.move(from, to);
        world.pool = setHolds(world.pool, from.id, from.cartridge?.barcode ?? null);
      }
      world.pool = setHolds(world.pool, to.id, to.cartridge?.barcode ?? null);
    });
    this.device.later(durationMs, () =>
      this.answer(
        result === "moved"
          ? { kind: "moved", attempt }
          : { kind: "moveFailed", attempt, text: "the robot failed", cartridgeAt: result },
        1,
      ),
    );
  }

  private load(attempt: number, drive: ModelDrive): void {
    check(drive.cartridge === this.device.cartridge, "loads another cartridge");
    if (!drive.dead) {
      this.answer({ kind: "loaded", attempt }, 15);
      return;
    }
    const evidence = this.evidenceOf(drive.id, {
      kind: "sense",
      sense: { key: 4, asc: 0x44, ascq: 0, deferred: false },
    });
    this.answer({ kind: "loadFailed", attempt, evidence }, 15);
  }

  private verify(effect: DirectorEffect & { kind: "verify" }): void {
    const { device } = this;
    const { attempt } = effect;
    const drive = device.world.drive(effect.drive);
    this.checkMine(drive.id);
    device.later(10, () => {
      const read = drive.readBack();
      if (read.kind !== "good") {
        const evidence = this.evidenceOf(drive.id, read);
        return this.answer({ kind: "verifyFailed", attempt, cause: "drive", evidence }, 1);
      }
      if (effect.empty) {
        const evidence = this.evidenceOf(drive.id, read);
        if (device.cartridge.content.length > 0)
          return this.answer({ kind: "verifyFailed", attempt, cause: "notEmpty", evidence }, 1);
        return this.answer({ kind: "verified", attempt, fromJ: effect.onTapeJ, position: 0 }, 1);
      }
      const found = verifyMedium(device.journal, device.cartridge, effect.onTapeJ);
      if (found.kind === "verified")
        return this.answer({ kind: "verified", attempt, fromJ: found.fromJ, position: found.position }, 1);
      const evidence = this.evidenceOf(drive.id, { kind: "good" });
      this.answer({ kind: "verifyFailed", attempt, cause: found.kind, evidence }, 1);
    });
  }

  private follow(effect: DirectorEffect & { kind: "follow" }): void {
    const { device } = this;
    const drive = device.world.drive(effect.drive);
    this.checkMine(drive.id);
    check(drive.cartridge === device.cartridge, "follows on another cartridge");
    check(
      device.world.devices.every((one) => one.follower.driveId !== drive.id),
      `drive ${drive.id} has two followers`,
    );
    device.journal.demoted = true;
    // Half a block beyond the end, and nothing to write over it: the end of data is set here.
    if (device.journal.received <= effect.fromJ) device.cartridge.endAt(effect.position);
    device.follower.start(drive, effect.fromJ, effect.position, effect.attempt);
    if (!device.front.connected) {
      const last = device.journal.entries.findLast((one) => one.item >= 0);
      device.front.reconnect(Math.max(effect.position, last === undefined ? 0 : last.item + 1));
    }
  }
}
