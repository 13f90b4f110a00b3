/** @module Opens the embedded file library, or makes it at the first start. */
import type { LibrarySettings } from "../config.ts";
import { createCartridge } from "../device/file/cartridge.ts";
import { createLibrary, type MakeCartridge } from "../library/create.ts";
import { FileRobot } from "../library/file-robot.ts";
import type { DriveBay } from "../library/robot.ts";
import { type LibraryProblem, libraryExists } from "../library/state.ts";
import type { WorkerHandle } from "../workers/handle.ts";
import { openForeignLibrary } from "./foreign-start.ts";

const INSERT_WITHIN_MS = 600_000;
const EJECT_WITHIN_MS = 120_000;
/** The drive's own early warning lies well inside the pad that the host sees. */
const EARLY_WARNING_BYTES = 16 * 1024 * 1024;

export function earlyWarningOf(capacityBytes: number): number {
  return Math.min(EARLY_WARNING_BYTES, Math.floor(capacityBytes / 64));
}

export const makeCartridge: MakeCartridge = (path, cartridge) => {
  const outcome = createCartridge(path, cartridge, Date.now());
  return "kind" in outcome ? outcome.why : null;
};

export async function openLibrary(
  settings: LibrarySettings,
  workers: ReadonlyMap<number, WorkerHandle>,
  changers: readonly WorkerHandle[],
): Promise<FileRobot | LibraryProblem> {
  if (settings.foreign !== null)
    return await openForeignLibrary(settings, changers, (id) => bayOf(workers.get(id)));
  if (!libraryExists(settings.directory)) {
    const made = createLibrary(
      {
        directory: settings.directory,
        drives: settings.driveCount,
        spares: settings.spareCount,
        slots: settings.slotCount,
        cartridges: settings.barcodes.length,
        spareCartridges: settings.spareCartridgeCount,
        capacityBytes: settings.capacityBytes,
        earlyWarningBytes: earlyWarningOf(settings.capacityBytes),
        barcodes: settings.barcodes,
      },
      makeCartridge,
    );
    if ("kind" in made) return made;
  }
  return FileRobot.open({
    directory: settings.directory,
    bay: (id) => bayOf(workers.get(id)),
    makeCartridge,
    mailSlots: settings.mailSlotCount,
    latencies: { moveMs: settings.latencies.moveMs },
  });
}

/** The robot's end of a drive: orders to its Worker. */
export function bayOf(worker: WorkerHandle | undefined): DriveBay | null {
  if (worker === undefined) return null;
  return {
    async insert(path) {
      const result = await worker.order<{ kind: string; why?: string; outcome?: string }>(
        { kind: "insert", path },
        INSERT_WITHIN_MS,
      );
      if (result?.kind === "inserted") return null;
      return result?.why ?? result?.outcome ?? result?.kind ?? "the drive does not answer";
    },
    async eject() {
      const result = await worker.order<"ejected" | "empty" | "stuck" | "prevented">(
        { kind: "eject" },
        EJECT_WITHIN_MS,
      );
      return result ?? "silent";
    },
  };
}
