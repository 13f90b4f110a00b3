/** @module MOVE MEDIUM of the backup server, carried out on the real library: slot to drive couples an image to the
 *  device, drive to slot ends it. The front has seen to it that the device has nothing that is not on tape (rule 12). */
import * as at from "../../wasm/ring/layout.ts";
import type { Barcode } from "../base/brands.ts";
import { logOf } from "../base/log.ts";
import type { LoadedCartridge } from "../director/tee/tee-port.ts";
import { FIRST_MAIL_SLOT_ADDRESS, type MoveOutcome } from "../library/robot.ts";
import type { Sense } from "../scsi/sense.ts";
import type { DeviceDesk, DriveCartridge } from "./device-desk.ts";
import { addressOf, type Stock } from "./stock.ts";

const log = logOf("library");
const notReady: Sense = { key: 0x2, asc: 0x04, ascq: 0x03 };
const LOAD_WITHIN_MS = 600_000;

export class Moves {
  constructor(
    private readonly stock: Stock,
    private readonly deskAt: (virtualAddress: number) => DeviceDesk | null,
  ) {}

  /** null: done; else why not. */
  async move(source: number, destination: number): Promise<Sense | null> {
    const from = this.deskAt(source);
    const to = this.deskAt(destination);
    for (const desk of [from, to]) if (desk !== null && desk.state.name !== "Streaming") return notReady;
    await this.stock.tidy();
    if (from !== null) await this.release(from);
    const outcome = await this.stock.moveMedium(realAddress(source, from), realAddress(destination, to));
    if (outcome.kind === "refused") {
      if (from !== null) await this.take(from, false);
      return senseOf(outcome);
    }
    if (from !== null) await this.forget(from);
    if (to !== null && !(await this.take(to, false))) return { key: 0x4, asc: 0x53, ascq: 0x00 };
    return null;
  }

  /** The cartridge that lies in the device's drive becomes its image; the host sees it at its beginning. */
  async take(desk: DeviceDesk, mustPosition: boolean): Promise<boolean> {
    const { drive } = desk;
    const barcode = drive === null ? null : (this.stock.robot.drive(drive)?.barcode ?? null);
    if (drive === null || barcode === null) return false;
    const found = await this.stock.worker(drive).order<DriveCartridge>({ kind: "identify" }, LOAD_WITHIN_MS);
    if (found?.kind !== "inserted") return false;
    await desk.noteAlerts(drive);
    const image = this.stock.catalog.beginImage({
      device: desk.parts.settings.name,
      barcode,
      serial: found.serial,
      identity: { drive },
    });
    desk.cartridge = found;
    await this.follow(desk, image.id, barcode);
    desk.dispatch({ kind: "cartridgeChanged", cartridge: barcode });
    const cartridge: LoadedCartridge = {
      image: image.id,
      barcode: this.stock.shown(barcode) ?? barcode,
      serial: found.serial,
      capacityBytes: found.capacityBytes,
      remainingBytes: found.capacityBytes,
      writeProtected: found.writeProtected,
      densityCode: found.densityCode,
      mediumType: found.mediumType,
      mustPosition,
    };
    await desk.parts.front()?.order({ kind: "load", device: desk.index, cartridge });
    return true;
  }

  /** The identity goes to the cache before the first entry of the image: after a crash it says whose journal this is. */
  private async follow(desk: DeviceDesk, image: number, barcode: Barcode): Promise<void> {
    const { memory } = desk;
    const identity = JSON.stringify({ image, barcode, serial: desk.cartridge?.serial ?? "" });
    await this.stock.worker(desk.drive as number).order({
      kind: "follow",
      device: desk.index,
      fromJ: memory.get(at.RECEIVED),
      position: 0,
      attempt: desk.state.attempt,
      fromRing: true,
      draining: false,
      answerWithinMs: desk.parts.settings.driveAnswerMs,
    });
    await desk.parts.cacheWorker?.order({ kind: "identity", json: identity });
  }

  /** All of it is on tape, and the checkpoint says so before the cartridge goes: after a crash nobody fetches it back to
   *  write the same again. */
  private async release(desk: DeviceDesk): Promise<void> {
    const { drive } = desk;
    if (drive !== null) {
      await this.stock.worker(drive).order({ kind: "unfollow" }, LOAD_WITHIN_MS);
      await desk.noteAlerts(drive);
    }
    await desk.parts.front()?.order({ kind: "unload", device: desk.index });
    await desk.parts.cacheWorker?.order({ kind: "checkpoint" });
  }

  private async forget(desk: DeviceDesk): Promise<void> {
    log.info(`${desk.name}: ${desk.state.cartridge ?? "cartridge"} unloaded, all of it on tape`);
    desk.cartridge = null;
    desk.dispatch({ kind: "cartridgeChanged", cartridge: null });
    await desk.parts.cacheWorker?.order({ kind: "identity", json: "{}" });
  }
}

function realAddress(virtual: number, desk: DeviceDesk | null): number {
  if (desk === null) return virtual >= FIRST_MAIL_SLOT_ADDRESS ? virtual : -1;
  return desk.drive === null ? -1 : addressOf(desk.drive);
}

function senseOf(outcome: MoveOutcome & { kind: "refused" }): Sense {
  return { key: outcome.key, asc: outcome.asc, ascq: outcome.ascq };
}
