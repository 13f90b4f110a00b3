/** @module One directing device in the model: the director's state joined to front, readers and library. */
import type { Barcode, DeviceName } from "../../src/base/brands.ts";
import type { DirectorEvent, DirectorSettings, DirectorState } from "../../src/director/states.ts";
import { begin } from "../../src/director/switchover.ts";
import { Carrier } from "./carrier.ts";
import { Cacher, Follower } from "./follower.ts";
import { Front } from "./front.ts";
import { Journal } from "./journal.ts";
import type { Cartridge } from "./library.ts";
import { check } from "./promises.ts";
import { BLOCK_BYTES_MAX, type DevicePlan } from "./schedule.ts";
import type { World } from "./world.ts";

const MARKS_EVERY_MS = 20;

export class Device {
  readonly journal: Journal;
  readonly front: Front;
  readonly cacher: Cacher;
  readonly follower: Follower;
  readonly carrier: Carrier;
  readonly settings: DirectorSettings;
  state: DirectorState;
  /** Grows with every crash: what was to be done before is not done any more. */
  private incarnation = 0;
  alive = true;
  readyToStop = false;
  transitions = 0;
  /** The journal holds the image from its beginning, as the front knows it; a crash forgets that. */
  knowsImage = true;
  /** Why a cartridge was not replaced, when it was asked last. */
  imageRefused: string | null = null;
  replacements = 0;

  constructor(
    readonly world: World,
    readonly name: DeviceName,
    readonly plan: DevicePlan,
    /** Another one stands in once it failed. */
    public cartridge: Cartridge,
    firstDrive: number,
  ) {
    this.journal = new Journal(plan.ringBytes, plan.cacheBytes);
    this.settings = {
      device: name,
      noSpare: plan.noSpare,
      badCartridge: plan.badCartridge,
      recovery: {
        cartridgeBytes: plan.cartridgeBytes,
        cacheBytes: plan.cacheBytes,
        beyondCartridge: plan.beyondCartridge,
        driveBytesPerSecond: 50_000_000,
        switchMs: 120,
        hostTimerMs: 900_000,
        blockBytesMax: BLOCK_BYTES_MAX,
        commandsMax: plan.queueDepth,
      },
    };
    this.front = new Front(this);
    this.cacher = new Cacher(this);
    this.follower = new Follower(this);
    this.carrier = new Carrier(this);
    const drive = world.drive(firstDrive);
    drive.cartridge = cartridge;
    const marks = { received: 0, cached: 0, onTape: 0 };
    const found = { drive: drive.id, cartridge: this.barcode, cartridgeIn: drive.id, marks, protected: true };
    this.state = begin(this.settings, found, 0).state;
    this.follower.start(drive, 0, 0, 0);
    this.tick();
  }

  get barcode(): Barcode {
    return this.cartridge.barcode;
  }

  /** What the gateway itself does later, if it still lives. */
  later(delayMs: number, run: () => void): void {
    const { incarnation } = this;
    this.world.timeline.after(delayMs, () => {
      if (incarnation === this.incarnation) run();
    });
  }

  trace(text: () => string): void {
    this.world.trace(() => `${this.name} ${text()}`);
  }

  kick(): void {
    this.cacher.kick();
    this.follower.kick();
    this.front.pump();
  }

  send(event: DirectorEvent): void {
    const before = this.state;
    const { state, effects } = this.world.rules.step(before, event, this.world.timeline.nowMs);
    this.state = state;
    if (event.kind !== "marks")
      this.trace(() => `${before.name} + ${JSON.stringify(event)} -> ${state.name}`);
    if (before.name !== state.name) this.transitions++;
    this.carry(effects);
  }

  private carry(effects: readonly Parameters<Carrier["carryOut"]>[0][]): void {
    const timed = effects.filter((effect) => "attempt" in effect);
    check(timed.length <= 1, "two effects that take time at once");
    for (const effect of effects) this.carrier.carryOut(effect);
    if (effects.length > 0) this.kick();
  }

  private tick(): void {
    this.later(MARKS_EVERY_MS, () => {
      const { received, durable, onTape } = this.journal;
      const marks = { received, cached: durable, onTape };
      this.send({ kind: "marks", marks, protected: true, driveBytesPerSecond: null });
      this.tick();
    });
  }

  /** kill -9 */
  crash(): void {
    this.trace(() => "the gateway dies");
    this.incarnation++;
    this.alive = false;
    this.knowsImage = false;
    this.follower.stop();
    this.cacher.reset();
    this.front.lose();
    this.journal.crash(this.world.random);
  }

  restart(): void {
    this.alive = true;
    const drive = this.carrier.driveAtStart();
    const { received, onTape } = this.journal;
    const found = {
      drive,
      cartridge: this.barcode,
      cartridgeIn: this.world.driveWith(this.barcode)?.id ?? null,
      marks: { received, cached: received, onTape },
      protected: true,
    };
    const { state, effects } = begin(this.settings, found, this.world.timeline.nowMs);
    this.state = state;
    this.trace(() => `restart: ${JSON.stringify(found)} -> ${state.name}`);
    if (state.name === "Streaming") {
      this.cartridge.endAt(this.cartridge.goodBlocks());
      this.follower.start(this.world.drive(state.drive), received, this.cartridge.goodBlocks(), 0);
      this.front.reconnect(this.cartridge.goodBlocks());
    }
    this.carry(effects);
    this.tick();
  }

  /** Nothing will happen any more unless somebody comes. */
  settled(): boolean {
    if (this.state.name === "Halted") return true;
    if (this.state.name !== "Streaming" || this.journal.onTape < this.journal.received) return false;
    return this.front.done || this.readyToStop;
  }
}
