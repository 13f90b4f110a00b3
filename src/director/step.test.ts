import { describe, expect, test } from "bun:test";
import {
  type Barcode,
  type DeviceName,
  type DriveId,
  isMalformed,
  parseBarcode,
  parseDeviceName,
  parseDriveId,
} from "../base/brands.ts";
import { MIB } from "../base/units.ts";
import { type FaultEvidence, NO_SCORES, type SenseCode } from "./classify.ts";
import type { DirectorEffect, DirectorEvent, DirectorSettings, DirectorState } from "./states.ts";
import { step } from "./step.ts";
import { begin, type Whereabouts } from "./switchover.ts";

const door = <T>(value: T): Exclude<T, { kind: "malformed" }> => {
  if (isMalformed(value)) throw new Error(value.expected);
  return value as Exclude<T, { kind: "malformed" }>;
};
const device: DeviceName = door(parseDeviceName("drive-1"));
const cartridge: Barcode = door(parseBarcode("UND001L8"));
const reserve: Barcode = door(parseBarcode("UND008L8"));
const [first, spare, third]: [DriveId, DriveId, DriveId] = [
  door(parseDriveId(1)),
  door(parseDriveId(2)),
  door(parseDriveId(3)),
];

const settings: DirectorSettings = {
  device,
  noSpare: "report",
  badCartridge: "swap",
  recovery: {
    cartridgeBytes: 1024 * MIB,
    cacheBytes: 4096 * MIB,
    beyondCartridge: false,
    driveBytesPerSecond: 300 * MIB,
    switchMs: 60_000,
    hostTimerMs: 900_000,
    blockBytesMax: MIB / 4,
    commandsMax: 8,
  },
};

const sense = (key: number, asc: number, ascq: number): SenseCode => ({ key, asc, ascq, deferred: false });
const evidence = (of: SenseCode | null, more: Partial<FaultEvidence> = {}): FaultEvidence => ({
  sense: of,
  tapeAlerts: [],
  unreachable: false,
  timedOut: false,
  scores: NO_SCORES,
  ...more,
});
const dead = evidence(sense(4, 0x44, 0));
const unreachable = evidence(null, { unreachable: true });

/** A director with its last effects at hand. Answers get the number of the attempt under way. */
class Scene {
  state: DirectorState;
  effects: readonly DirectorEffect[] = [];
  private nowMs = 0;

  constructor(of: Partial<DirectorSettings> = {}, found: Partial<Whereabouts> = {}) {
    const marks = { received: 0, cached: 0, onTape: 0 };
    this.state = begin(
      { ...settings, ...of },
      { drive: first, cartridge, cartridgeIn: first, marks, protected: true, ...found },
      0,
    ).state;
    if (found.marks === undefined) this.marks(800, 700, 500);
  }

  send(event: DirectorEvent): this {
    this.nowMs += 10;
    const next = step(this.state, event, this.nowMs);
    this.state = next.state;
    this.effects = next.effects;
    return this;
  }

  marks(received: number, cached: number, onTape: number, isProtected = true): this {
    const marks = { received: received * MIB, cached: cached * MIB, onTape: onTape * MIB };
    return this.send({ kind: "marks", marks, protected: isProtected, driveBytesPerSecond: null });
  }

  get attempt(): number {
    return this.state.attempt;
  }

  fail(of: FaultEvidence = dead): this {
    const drive =
      this.state.name === "Streaming" || this.state.name === "Replaying" ? this.state.drive : first;
    return this.send({ kind: "driveFailed", attempt: this.attempt, drive, evidence: of });
  }

  gathered(of: FaultEvidence = dead): this {
    return this.send({ kind: "gathered", attempt: this.attempt, evidence: of });
  }

  found(at: DriveId | "slot" | null): this {
    return this.send({ kind: "cartridgeFound", attempt: this.attempt, at });
  }

  chosen(drive: DriveId, cartridgeIn: DriveId | null = first): this {
    return this.send({ kind: "spareChosen", attempt: this.attempt, drive, cartridgeIn });
  }

  /** Answers that carry nothing but their number, one after the other. */
  answered(
    ...kinds: readonly ("coupled" | "unloaded" | "takenOut" | "moved" | "loaded" | "noSpare" | "caughtUp")[]
  ): this {
    for (const kind of kinds) this.send({ kind, attempt: this.attempt });
    return this;
  }

  imageReady(): this {
    return this.send({ kind: "imageReady", attempt: this.attempt, cartridge: reserve, fromJ: 100 * MIB });
  }

  imageRefused(): this {
    return this.send({ kind: "imageRefused", attempt: this.attempt, text: "no spare cartridge" });
  }

  verified(fromMib: number): this {
    return this.send({ kind: "verified", attempt: this.attempt, fromJ: fromMib * MIB, position: 7 });
  }

  toVerifying(): this {
    return this.fail().gathered().chosen(spare).answered("coupled", "unloaded", "moved", "loaded");
  }

  /** What was asked for, in order, records and notices left out. */
  get asked(): string[] {
    return this.effects.map(({ kind }) => kind).filter((kind) => kind !== "record" && kind !== "notify");
  }

  effect<K extends DirectorEffect["kind"]>(kind: K): (DirectorEffect & { kind: K }) | undefined {
    return this.effects.find((one): one is DirectorEffect & { kind: K } => one.kind === kind);
  }
}

describe("RED-20 (604-619): a dead drive whose cartridge can be moved", () => {
  test("from the failure to streaming again, box by box", () => {
    const scene = new Scene().fail();
    expect(scene.asked).toEqual(["setFlow", "stopFollower", "demoteFollower", "gatherEvidence"]);
    expect(scene.effect("setFlow")?.flow).toBe("suspended");
    scene.gathered();
    expect(scene.asked).toEqual(["score", "markDriveFailed", "reserveSpare"]);
    scene.chosen(spare);
    expect(scene.asked).toEqual(["setFlow", "couple"]);
    expect(scene.state.flow).toBe("reduced");
    expect(scene.state.flowBytesPerSecond).toBeGreaterThan(0);
    scene.answered("coupled");
    expect(scene.effect("unload")?.drive).toBe(first);
    scene.answered("unloaded");
    expect(scene.effect("move")).toMatchObject({ cartridge, from: first, to: spare });
    scene.answered("moved");
    expect(scene.effect("load")?.drive).toBe(spare);
    scene.answered("loaded");
    expect(scene.effect("verify")).toMatchObject({ drive: spare, cartridge, onTapeJ: 500 * MIB });
    scene.verified(650);
    expect(scene.effect("follow")).toMatchObject({ drive: spare, fromJ: 650 * MIB, position: 7 });
    scene.answered("caughtUp");
    expect(scene.state).toMatchObject({ name: "Streaming", drive: spare, flow: "normal" });
  });

  test("every transition is recorded with its boxes, its evidence, and the marks", () => {
    const record = new Scene().fail().gathered().effect("record");
    expect(record?.event).toMatchObject({
      kind: "transition",
      device,
      transition: "Classifying -> Choosing",
      evidence: { boxes: "607-608", row: "hardware", sense: "4/4400", marks: { onTape: 500 * MIB } },
    });
  });

  test("a drive that lost its position, or was reset, is verified and goes on itself (607)", () => {
    const scene = new Scene().fail(evidence(sense(6, 0x29, 0))).gathered(evidence(sense(6, 0x29, 0)));
    expect(scene.state).toMatchObject({ name: "Verifying", drive: first });
    expect(scene.verified(600).effect("follow")).toMatchObject({ drive: first, fromJ: 600 * MIB });
  });

  test("... but not for ever", () => {
    const reset = evidence(sense(6, 0x29, 0));
    const scene = new Scene();
    for (let i = 0; i < 3; i++) scene.fail(reset).gathered(reset).verified(600);
    expect(scene.state.name).toBe("Replaying");
    expect(scene.fail(reset).gathered(reset).state.name).toBe("Choosing");
  });

  test("a drive that was not proven guilty goes back as a suspect; one that does not answer is out", () => {
    const unclear = evidence(sense(3, 0x0c, 0));
    expect(new Scene().fail(unclear).gathered(unclear).effect("releaseDrive")).toMatchObject({
      suspect: true,
    });
    expect(new Scene().fail(unreachable).gathered(unreachable).asked).toContain("markDriveFailed");
  });
});

describe("RED-20: failures on the way", () => {
  test("the spare does not load: the next one, and the cartridge is fetched from the first spare", () => {
    const scene = new Scene().fail().gathered().chosen(spare).answered("coupled", "unloaded", "moved");
    scene.send({ kind: "loadFailed", attempt: scene.attempt, evidence: dead });
    expect(scene.effect("markDriveFailed")?.drive).toBe(spare);
    expect(scene.effect("reserveSpare")?.excluded).toEqual([first, spare]);
    expect(scene.chosen(third, spare).answered("coupled").effect("unload")?.drive).toBe(spare);
    expect(scene.answered("unloaded").effect("move")).toMatchObject({ from: spare, to: third });
  });

  test("the spare cannot read while verifying, or dies in replay: the next one; the slow lane stays open", () => {
    const scene = new Scene().toVerifying();
    scene.send({ kind: "verifyFailed", attempt: scene.attempt, cause: "drive", evidence: dead });
    expect(scene.effect("reserveSpare")?.excluded).toEqual([first, spare]);
    const replay = new Scene().toVerifying().verified(600).fail();
    expect(replay.state).toMatchObject({ name: "Classifying", drive: spare, flow: "reduced" });
    expect(replay.gathered().effect("reserveSpare")?.excluded).toContain(spare);
  });

  test("the spare cannot be coupled: the next one", () => {
    const scene = new Scene().fail().gathered().chosen(spare);
    scene.send({ kind: "coupleFailed", attempt: scene.attempt, text: "zone" });
    expect(scene.asked).toEqual(["releaseDrive", "reserveSpare"]);
  });

  test("the robot fails: once more, then halted, and the spare is free for others", () => {
    const scene = new Scene().fail().gathered().chosen(spare).answered("coupled", "unloaded");
    const failed = () =>
      scene.send({ kind: "moveFailed", attempt: scene.attempt, text: "jam", cartridgeAt: "source" });
    expect(failed().effect("move")).toMatchObject({ from: first, to: spare });
    expect(failed().state).toMatchObject({ name: "Halted", reason: "robot", drive: null });
    expect(scene.effect("releaseDrive")).toMatchObject({ drive: spare, suspect: false });
  });

  test("the spare does not take the cartridge, and it lies in a slot now: the next spare", () => {
    const scene = new Scene().fail().gathered().chosen(spare).answered("coupled", "unloaded");
    scene.send({ kind: "moveFailed", attempt: scene.attempt, text: "not taken", cartridgeAt: "slot" });
    expect(scene.asked).toEqual(["releaseDrive", "reserveSpare"]);
    expect(scene.effect("reserveSpare")?.excluded).toContain(spare);
  });

  test("the robot says no and the cartridge is there all the same: on with it; nowhere to be found: halted", () => {
    const scene = () => new Scene().fail().gathered().chosen(spare).answered("coupled", "unloaded");
    const there = scene();
    there.send({ kind: "moveFailed", attempt: there.attempt, text: "", cartridgeAt: "destination" });
    expect(there.effect("load")?.drive).toBe(spare);
    const lost = scene();
    lost.send({ kind: "moveFailed", attempt: lost.attempt, text: "", cartridgeAt: "unknown" });
    expect(lost.state).toMatchObject({ name: "Halted", reason: "robot" });
    lost.send({ kind: "operatorRetry", drive: null }).chosen(spare, null).answered("coupled");
    expect(lost.effect("move")).toMatchObject({ from: null, to: spare });
  });

  test("the medium is not what the journal says, or ends below the on-tape mark: nothing is written", () => {
    for (const cause of ["otherData", "wrongCartridge", "endOfDataBelowMark"] as const) {
      const scene = new Scene().toVerifying();
      scene.send({ kind: "verifyFailed", attempt: scene.attempt, cause, evidence: evidence(null) });
      expect(scene.asked).not.toContain("follow");
      if (cause !== "wrongCartridge") scene.imageRefused();
      expect(scene.state).toMatchObject({ name: "Halted", reason: "cartridgeFault", drive: spare });
    }
    const below = new Scene().toVerifying().verified(499);
    expect(below.state).toMatchObject({ name: "Halted", reason: "cartridgeFault" });
    expect(below.asked).not.toContain("follow");
  });

  test("a cartridge at fault, full, protected or gone: halted for that reason; it stays in its drive (RED-18)", () => {
    const codes = [
      ["cartridgeFault", sense(3, 0x11, 0)],
      ["cartridgeFault", sense(2, 0x30, 3)],
      ["endOfMedium", sense(0xd, 0, 2)],
      ["writeProtected", sense(7, 0x27, 0)],
    ] as const;
    for (const [reason, code] of codes) {
      const scene = new Scene().fail(evidence(code)).gathered(evidence(code));
      if (scene.state.name === "Switching") scene.imageRefused();
      expect(scene.state).toMatchObject({ name: "Halted", reason, drive: first });
      expect(scene.asked).not.toContain("markDriveFailed");
      // Trying again gives the drive back first, so that it can be chosen again.
      scene.send({ kind: "operatorRetry", drive: null });
      expect(scene.asked.slice(0, 2)).toEqual(["releaseDrive", "reserveSpare"]);
    }
  });

  const empty = evidence(sense(2, 0x3a, 0));
  const gone = () => new Scene().fail(empty).gathered(empty);

  test("RED-18: the medium is gone in mid-job, and the robot sees it there: the drive is told to load it", () => {
    const scene = gone();
    expect(scene.state).toMatchObject({ name: "Switching", doing: "find", drive: first });
    expect(scene.effect("findCartridge")).toMatchObject({ cartridge });
    expect(scene.asked).not.toContain("markDriveFailed");
    scene.found(first);
    expect(scene.effect("load")?.drive).toBe(first);
    scene.answered("loaded").verified(600).answered("caughtUp");
    expect(scene.state).toMatchObject({ name: "Streaming", drive: first });
    // It says so again: another drive takes it out of there.
    const again = gone().found(first);
    again.send({ kind: "loadFailed", attempt: again.attempt, evidence: empty });
    expect(again.state).toMatchObject({ doing: "find" });
    again.found(first);
    expect(again.effect("releaseDrive")).toMatchObject({ drive: first, suspect: true });
    expect(again.effect("reserveSpare")).toMatchObject({ excluded: [first], wanted: null });
    again.chosen(spare).answered("coupled");
    expect(again.effect("unload")?.drive).toBe(first);
  });

  test("RED-18: somebody moved the cartridge in mid-job: it is fetched back, verified, and the job goes on", () => {
    const scene = gone().found("slot");
    expect(scene.effect("releaseDrive")).toMatchObject({ drive: first, suspect: false });
    expect(scene.effect("reserveSpare")).toMatchObject({ excluded: [], wanted: first });
    scene.chosen(first, null).answered("coupled");
    expect(scene.effect("move")).toMatchObject({ from: null, to: first });
    scene.answered("moved", "loaded").verified(600).answered("caughtUp");
    expect(scene.state).toMatchObject({ name: "Streaming", drive: first });
    const elsewhere = gone().found(third);
    elsewhere.chosen(first, third).answered("coupled");
    expect(elsewhere.effect("unload")?.drive).toBe(third);
  });

  test("RED-18: the robot finds the cartridge nowhere: halted; after a retry it looks again", () => {
    const scene = gone().found(null);
    expect(scene.state).toMatchObject({ name: "Halted", reason: "mediumGone", drive: first });
    scene.send({ kind: "operatorRetry", drive: null });
    expect(scene.asked).toContain("findCartridge");
    scene.found("slot");
    expect(scene.effect("reserveSpare")?.wanted).toBe(first);
    // Nobody plays this game for ever.
    const often = gone();
    for (let n = 0; n < 3; n++) {
      often.found("slot").chosen(first, null).answered("coupled", "moved");
      often.send({ kind: "loadFailed", attempt: often.attempt, evidence: empty });
    }
    expect(often.found("slot").state).toMatchObject({ name: "Halted", reason: "mediumGone" });
  });

  test("RED-03: the cache can no longer give what replay needs: halted, told to the host, nothing more written", () => {
    const scene = new Scene().toVerifying().verified(600);
    scene.send({ kind: "journalLost", attempt: scene.attempt, text: "two members lost" });
    expect(scene.state).toMatchObject({ name: "Halted", reason: "unprotected", flow: "report" });
    expect(scene.asked).toContain("stopFollower");
  });

  test("an answer of an abandoned attempt changes nothing", () => {
    const scene = new Scene().fail().gathered().chosen(spare).answered("coupled");
    const before = scene.state;
    scene.send({ kind: "spareChosen", attempt: scene.attempt - 2, drive: third, cartridgeIn: first });
    scene.send({ kind: "driveFailed", attempt: 0, drive: first, evidence: dead });
    expect(scene.state).toEqual(before);
    expect(scene.effects).toEqual([]);
  });
});

const corrupt = evidence(sense(3, 0x31, 0));

describe("RED-22 (631-633): a bad cartridge in a good drive, badCartridge = swap", () => {
  test("from the failure to streaming again, box by box, in the same drive", () => {
    const scene = new Scene().fail(corrupt).gathered(corrupt);
    expect(scene.asked).toEqual(["setFlow", "score", "prepareImage"]);
    expect(scene.state).toMatchObject({ name: "Switching", doing: "image", flow: "reduced", drive: first });
    expect(scene.effect("prepareImage")).toMatchObject({ cartridge, larger: false });
    scene.imageReady();
    expect(scene.state).toMatchObject({ cartridge: reserve, marks: { onTape: 100 * MIB } });
    expect(scene.effect("takeOut")?.drive).toBe(first);
    scene.answered("takenOut");
    expect(scene.effect("move")).toMatchObject({ cartridge: reserve, from: null, to: first });
    scene.answered("moved", "loaded");
    expect(scene.effect("verify")).toMatchObject({ cartridge: reserve, onTapeJ: 100 * MIB, empty: true });
    scene.send({ kind: "verified", attempt: scene.attempt, fromJ: 100 * MIB, position: 0 });
    expect(scene.effect("follow")).toMatchObject({ drive: first, fromJ: 100 * MIB, position: 0 });
    scene.answered("caughtUp");
    expect(scene.state).toMatchObject({
      name: "Streaming",
      drive: first,
      flow: "normal",
      cartridge: reserve,
    });
  });

  test("632: a spare cartridge that is not empty is replaced by the next one", () => {
    const scene = new Scene()
      .fail(corrupt)
      .gathered(corrupt)
      .imageReady()
      .answered("takenOut", "moved", "loaded");
    scene.send({ kind: "verifyFailed", attempt: scene.attempt, cause: "notEmpty", evidence: evidence(null) });
    expect(scene.effect("prepareImage")?.cartridge).toBe(reserve);
  });

  test("the drive does not let go of it: 620 after all; the robot jams: another drive", () => {
    for (const [stuck, out] of [
      [true, "markDriveFailed"],
      [false, "releaseDrive"],
    ] as const) {
      const scene = new Scene().fail(corrupt).gathered(corrupt).imageReady();
      scene.send({ kind: "takeOutFailed", attempt: scene.attempt, stuck, text: "" });
      expect(scene.asked).toEqual([out, "reserveSpare"]);
      scene.chosen(spare, null).answered("coupled");
      expect(scene.effect("move")).toMatchObject({ cartridge: reserve, from: null, to: spare });
    }
  });

  test("the drive dies while the image is written: the next one goes on with the replacement, where its marks are", () => {
    const scene = new Scene()
      .fail(corrupt)
      .gathered(corrupt)
      .imageReady()
      .answered("takenOut", "moved", "loaded");
    scene.send({ kind: "verified", attempt: scene.attempt, fromJ: 100 * MIB, position: 0 });
    scene.marks(900, 900, 300).fail().gathered().chosen(spare, first);
    scene.answered("coupled", "unloaded", "moved", "loaded");
    expect(scene.effect("verify")).toMatchObject({ cartridge: reserve, onTapeJ: 300 * MIB, empty: false });
  });

  test("a physical end before all was on it: a larger spare; no spare cartridge: as without (609)", () => {
    const full = evidence(sense(0xd, 0, 2));
    const scene = new Scene().fail(full).gathered(full);
    expect(scene.effect("prepareImage")?.larger).toBe(true);
    scene.imageRefused();
    expect(scene.state).toMatchObject({
      name: "Halted",
      reason: "endOfMedium",
      flow: "report",
      drive: first,
    });
    expect(scene.effect("reportToHost")?.sense).toMatchObject({ key: 0xd, ascq: 2, deferred: true });
  });

  test("RED-03: with the cache lost there is no image to write", () => {
    const scene = new Scene().marks(800, 700, 800, false).fail(corrupt).gathered(corrupt);
    expect(scene.state).toMatchObject({ name: "Halted", reason: "cartridgeFault" });
  });
});

describe("RED-21, RED-22 (620-621): a spare cartridge to an unused drive", () => {
  test("613 no: the failed drive keeps its cartridge; the spare drive gets a spare cartridge and the whole image", () => {
    const scene = new Scene().fail().gathered().chosen(spare).answered("coupled");
    scene.send({ kind: "unloadFailed", attempt: scene.attempt, text: "thread broken" });
    expect(scene.effect("prepareImage")?.cartridge).toBe(cartridge);
    scene.imageReady();
    expect(scene.effect("move")).toMatchObject({ cartridge: reserve, from: null, to: spare });
    scene.answered("moved", "loaded");
    expect(scene.effect("verify")?.empty).toBe(true);
    scene
      .send({ kind: "verified", attempt: scene.attempt, fromJ: 100 * MIB, position: 0 })
      .answered("caughtUp");
    expect(scene.state).toMatchObject({ name: "Streaming", drive: spare, cartridge: reserve });
  });

  test("stuck, and no spare cartridge: halted with the reason; the spare drive is free again", () => {
    const scene = new Scene().fail().gathered().chosen(spare).answered("coupled");
    scene.send({ kind: "unloadFailed", attempt: scene.attempt, text: "thread broken" }).imageRefused();
    expect(scene.state).toMatchObject({ name: "Halted", reason: "cartridgeStuck", drive: null });
    expect(scene.state.name === "Halted" && scene.state.text).toContain("thread broken");
    expect(scene.effect("releaseDrive")?.drive).toBe(spare);
  });

  test("badCartridge = otherDrive: the good drive keeps the failed cartridge and goes back to the pool", () => {
    const scene = new Scene({ badCartridge: "otherDrive" }).fail(corrupt).gathered(corrupt).imageReady();
    expect(scene.asked).toEqual(["releaseDrive", "reserveSpare"]);
    expect(scene.effect("releaseDrive")).toMatchObject({ drive: first, suspect: false });
    expect(scene.effect("reserveSpare")?.excluded).toEqual([first]);
    scene.chosen(spare, null).answered("coupled");
    expect(scene.effect("move")).toMatchObject({ cartridge: reserve, to: spare });
  });

  test("two drives failing on one cartridge: the cartridge", () => {
    const twice = evidence(sense(3, 0x0c, 0), { scores: { ...NO_SCORES, otherDrivesOnCartridge: 1 } });
    expect(new Scene().fail(twice).gathered(twice).effect("prepareImage")?.cartridge).toBe(cartridge);
  });
});

describe("RED-19 (608-609): no spare", () => {
  test("a drive that came back while the pool was asked counts: the pool is asked again", () => {
    const scene = new Scene().fail().gathered();
    scene.send({ kind: "driveReturned", drive: first }).answered("noSpare");
    expect(scene.state.name).toBe("Choosing");
    expect(scene.effect("reserveSpare")?.excluded).toEqual([]);
  });

  test("report: the host gets the drive's own sense, deferred", () => {
    const scene = new Scene()
      .fail()
      .gathered({ ...dead, tapeAlerts: [30] })
      .answered("noSpare");
    expect(scene.state).toMatchObject({ name: "Halted", reason: "noSpare", flow: "report" });
    expect(scene.effect("reportToHost")?.tapeAlerts).toEqual([30]);
    expect(scene.effect("reportToHost")?.sense).toEqual({ key: 4, asc: 0x44, ascq: 0, deferred: true });
  });

  test("hold: caching goes on, BUSY when full; a returned drive takes up again", () => {
    const scene = new Scene({ noSpare: "hold" }).fail().gathered().answered("noSpare");
    expect(scene.state.flow).toBe("reduced");
    expect(scene.effect("reportToHost")).toBeUndefined();
    expect(scene.marks(800 + 1024, 1800, 500).effect("setFlow")?.flow).toBe("busy");
    scene.send({ kind: "driveReturned", drive: first });
    expect(scene.effect("reserveSpare")?.excluded).toEqual([]);
    // The cartridge never left the drive that came back: nothing to move.
    expect(scene.chosen(first).answered("coupled").effect("load")?.drive).toBe(first);
  });

  test("the operator's choice of a drive is asked for by name", () => {
    const scene = new Scene()
      .fail()
      .gathered()
      .answered("noSpare")
      .send({ kind: "operatorRetry", drive: third });
    expect(scene.effect("reserveSpare")).toMatchObject({ wanted: third, excluded: [] });
  });

  test("RED-03: with the cache lost a failure is reported as it is, whatever the policy", () => {
    const scene = new Scene({ noSpare: "hold" }).marks(800, 700, 500, false).fail();
    expect(scene.state).toMatchObject({ name: "Halted", reason: "unprotected", flow: "report" });
    expect(scene.asked).toContain("reportToHost");
  });
});

describe("RED-10, RED-23: BUSY and its end", () => {
  test("a cartridge's worth before recovery ends: BUSY; 619: no longer once caught up", () => {
    const scene = new Scene().toVerifying().verified(600);
    scene.marks(800 + 1024, 1800, 700);
    expect(scene.state.flow).toBe("busy");
    scene.answered("caughtUp");
    expect(scene.effect("setFlow")?.flow).toBe("normal");
    expect(scene.effect("record")?.event.evidence).toMatchObject({ boxes: "617, 619" });
  });

  test("618: the host is still sending", () => {
    const scene = new Scene().toVerifying().verified(600).answered("caughtUp");
    expect(scene.effect("record")?.event.evidence).toMatchObject({ boxes: "617-618" });
  });
});

describe("stop and start", () => {
  test("told to stop in the middle: the recovery is finished with the host at BUSY, then ready", () => {
    const scene = new Scene()
      .fail()
      .gathered()
      .chosen(spare)
      .answered("coupled")
      .send({ kind: "stopRequested" });
    expect(scene.effect("setFlow")?.flow).toBe("busy");
    scene.answered("unloaded", "moved", "loaded").verified(600).answered("caughtUp");
    expect(scene.asked).not.toContain("readyToStop");
    expect(scene.marks(800, 800, 800).effect("readyToStop")).toEqual({ kind: "readyToStop", owedBytes: 0 });
  });

  test("told to stop when halted: what is owed is said", () => {
    const scene = new Scene().fail().gathered().answered("noSpare").send({ kind: "stopRequested" });
    expect(scene.effect("readyToStop")?.owedBytes).toBe(300 * MIB);
  });

  test("a start with a journal verifies before it writes; one without a drive looks for one", () => {
    const marks = { received: 800 * MIB, cached: 800 * MIB, onTape: 500 * MIB };
    const scene = new Scene({}, { marks });
    expect(scene.state).toMatchObject({ name: "Switching", doing: "couple", drive: first });
    expect(scene.answered("coupled", "loaded").effect("verify")).toMatchObject({ onTapeJ: 500 * MIB });
    expect(scene.verified(700).effect("follow")?.fromJ).toBe(700 * MIB);
    expect(new Scene({}, { marks, drive: null }).state.name).toBe("Choosing");
    expect(new Scene({}, { cartridge: null, cartridgeIn: null }).state.name).toBe("Streaming");
  });

  test("an empty drive that dies is replaced with nothing to move or to verify", () => {
    const scene = new Scene({}, { cartridge: null, cartridgeIn: null });
    scene.fail(unreachable).gathered(unreachable).chosen(spare, null).answered("coupled");
    expect(scene.effect("follow")).toMatchObject({ drive: spare });
    expect(scene.answered("caughtUp").state).toMatchObject({ name: "Streaming", drive: spare });
  });
});
