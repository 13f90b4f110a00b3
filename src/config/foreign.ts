/** @module `[library] kind = "iscsi"`: drives and changers of others. */
import { resolve } from "node:path";
import type { Complaints } from "./resolve.ts";
import type { SettingsFile } from "./schema.ts";
import { DEFAULTS, type ForeignSettings, type OwnChap, type UnitSettings } from "./settings.ts";

/** Each entry is for a target that there is, and for one alone. */
function resolveOwnChap(
  given: LibraryFile,
  units: readonly UnitSettings[],
  complaints: Complaints,
): readonly OwnChap[] {
  const seen = new Set<string | null>();
  return (given.chap ?? []).map(({ target = null, user, secretFile, mutual = null }, index) => {
    const key = `library.chap[${index + 1}]`;
    const known = target === null || units.some(({ targetName }) => targetName === target);
    if (!known) complaints.add(`${key}.target`, `no drive and no changer is at ${target}`);
    if (seen.has(target))
      complaints.add(
        target === null ? key : `${key}.target`,
        target === null ? "one entry without a target is enough" : `${target} stands in the list twice`,
      );
    seen.add(target);
    return {
      ...{ target, user, secretFile: resolve(secretFile) },
      mutual: mutual === null ? null : { ...mutual, secretFile: resolve(mutual.secretFile) },
    };
  });
}

type LibraryFile = NonNullable<SettingsFile["library"]>;

const INITIATOR = "iqn.2026-01.org.understudy:gateway";

function unitOf({ portal, target, lun }: { portal: string; target: string; lun: number }): UnitSettings {
  const at = portal.lastIndexOf(":");
  const host = portal.slice(0, at).replace(/^\[|\]$/g, "");
  return { host, port: Number(portal.slice(at + 1)), targetName: target, lun };
}

/** null: the embedded file library. */
export function resolveForeign(given: LibraryFile, complaints: Complaints): ForeignSettings | null {
  if (given.kind !== "iscsi") {
    if (Array.isArray(given.drives))
      complaints.add("library.drives", 'expected how many, or library.kind = "iscsi"');
    if (given.changers !== undefined)
      complaints.add("library.changers", 'expected library.kind = "iscsi" beside it');
    if (given.chap !== undefined)
      complaints.add("library.chap", 'expected library.kind = "iscsi" beside it; iscsi.chap is for servers');
    return null;
  }
  const changers = (given.changers ?? []).map(unitOf);
  if (changers.length === 0) complaints.add("library.changers", 'expected at least one with kind = "iscsi"');
  if (!Array.isArray(given.drives)) {
    complaints.add("library.drives", 'expected a list of tables with kind = "iscsi"');
    return { initiatorName: INITIATOR, drives: [], changers, chap: [] };
  }
  const drives = given.drives.map((drive, index) => {
    const changer = (drive.changer ?? 1) - 1;
    if (changer >= changers.length && changers.length > 0)
      complaints.add(
        `library.drives[${index + 1}].changer`,
        `expected 1 to ${changers.length} (library.changers), found ${changer + 1}`,
      );
    return { ...unitOf(drive), changer, element: drive.changerElement };
  });
  for (const key of ["slots", "mailSlots", "barcodes", "paceMegabytesPerSecond", "faults"] as const) {
    if (given[key] !== undefined)
      complaints.add(`library.${key}`, 'expected none with kind = "iscsi": the library is of others');
  }
  const chap = resolveOwnChap(given, [...drives, ...changers], complaints);
  return { initiatorName: given.initiator ?? INITIATOR, drives, changers, chap };
}

/** Drives that servers see. */
export function driveCountOf(
  given: LibraryFile,
  foreign: ForeignSettings | null,
  spareCount: number,
  complaints: Complaints,
): number {
  if (foreign === null) return typeof given.drives === "number" ? given.drives : DEFAULTS.driveCount;
  const count = foreign.drives.length - spareCount;
  if (count < 1 && foreign.drives.length > 0)
    complaints.add("library.spares", `expected less than the drives there are (${foreign.drives.length})`);
  return Math.max(1, count);
}
