/** @module `understudy cartridge add|export|import` where no server runs: on the library's own map, under the lock that a server
 *  would hold. */
import { type Barcode, isMalformed, parseBarcode } from "../base/brands.ts";
import { lockState } from "../base/state-lock.ts";
import { MIB } from "../base/units.ts";
import type { CartridgeChange, CartridgeChangeOutcome } from "../cli/ports.ts";
import { loadSettings } from "../config.ts";
import { FileRobot } from "../library/file-robot.ts";
import type { StockOutcome } from "../library/robot.ts";
import { libraryExists } from "../library/state.ts";
import { earlyWarningOf, makeCartridge } from "./library-start.ts";

export async function changeCartridges(change: CartridgeChange): Promise<CartridgeChangeOutcome> {
  const { configFile: file, stateDirectory } = change;
  const loaded = loadSettings({ file, overrides: { stateDirectory }, environment: process.env });
  if (loaded.kind === "misconfigured") return loaded;
  const { library, http, stateDirectory: state } = loaded.settings;
  const barcode = change.barcode === null ? null : parseBarcode(change.barcode);
  if (isMalformed(barcode)) return { kind: "failed", text: `${barcode.given}: expected ${barcode.expected}` };
  const url = http.port === 0 ? null : `http://${http.host}:${http.port}`;
  if (!libraryExists(library.directory)) return { kind: "elsewhere", why: `no library in ${state}`, url };
  const lock = lockState(state);
  if (lock.kind === "refused") return { kind: "elsewhere", why: lock.text, url };
  try {
    const robot = FileRobot.open({
      directory: library.directory,
      bay: () => null,
      makeCartridge,
      mailSlots: library.mailSlotCount,
    });
    if (!(robot instanceof FileRobot)) return { kind: "failed", text: `${robot.path}: ${robot.why}` };
    const outcome = await carryOut(robot, change, barcode, library.capacityBytes);
    return outcome.kind === "done" ? outcome : { kind: "failed", text: outcome.text };
  } finally {
    lock.release();
  }
}

function carryOut(
  robot: FileRobot,
  { action, megabytes, isSpare }: CartridgeChange,
  barcode: Barcode | null,
  usualBytes: number,
): Promise<StockOutcome> {
  if (action === "add") {
    const capacityBytes = megabytes === null ? usualBytes : megabytes * MIB;
    return robot.addCartridge({
      barcode,
      capacityBytes,
      earlyWarningBytes: earlyWarningOf(capacityBytes),
      isSpare,
    });
  }
  if (barcode === null) throw new Error("a barcode is needed");
  return action === "export" ? robot.exportCartridge(barcode) : robot.importCartridge(barcode);
}
