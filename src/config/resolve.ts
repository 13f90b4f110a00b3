/** @module From what the file says to complete settings: defaults, units, and the relations between keys
 *  (DESIGN, rules 5 and 8): the ring is whole stripes and holds four of the largest blocks, the cache is whole rings,
 *  the pad exceeds the ring and the largest lag. What is not set is chosen to fit; what is set is checked. */
import { isAbsolute, join, resolve } from "node:path";
import {
  type Barcode,
  isMalformed,
  type Malformed,
  parseBarcode,
  parseDeviceName,
  parseDriveId,
  parseSerialNumber,
} from "../base/brands.ts";
import { KIB, MIB } from "../base/units.ts";
import { driveCountOf, resolveForeign } from "./foreign.ts";
import type { CacheFile, DeviceDefaultsFile, DeviceFile, SettingsFile } from "./schema.ts";
import {
  type CacheSettings,
  DEFAULTS,
  type DeviceSettings,
  type IscsiSettings,
  type LibrarySettings,
} from "./settings.ts";

/** Collects what is wrong, by key; all of it is reported at once. */
export class Complaints {
  readonly lines: string[] = [];

  add(key: string, text: string): void {
    this.lines.push(`${key}: ${text}`);
  }

  /** The parsed value, or `instead` with a complaint. */
  take<T>(key: string, value: T | Malformed, instead: T): T {
    if (!isMalformed(value)) return value;
    this.add(key, `expected ${value.expected}, found ${JSON.stringify(value.given)}`);
    return instead;
  }
}

const CARTRIDGE_SUFFIX = "L8";

function defaultBarcodes(slotCount: number): Barcode[] {
  return Array.from({ length: slotCount }, (_, slot) => {
    const barcode = parseBarcode(`UND${String(slot + 1).padStart(3, "0")}${CARTRIDGE_SUFFIX}`);
    if (isMalformed(barcode)) throw new Error(`default barcode ${barcode.given}`);
    return barcode;
  });
}

/** Who may log in; the files are read at a start (secrets.ts). */
export function resolveChap(
  file: SettingsFile,
  complaints: Complaints,
): Pick<IscsiSettings, "chap" | "mutualChap"> {
  const { chap = [], mutualChap } = file.iscsi ?? {};
  const seen = new Set<string>();
  for (const [index, { initiator }] of chap.entries()) {
    const name = initiator.toLowerCase();
    if (seen.has(name))
      complaints.add(`iscsi.chap[${index + 1}].initiator`, `${initiator} stands in the list twice`);
    seen.add(name);
  }
  if (mutualChap !== undefined && chap.length === 0) {
    complaints.add("iscsi.mutualChap", "expected an iscsi.chap beside it: who is to be let in by what?");
  }
  return {
    chap: chap.map((entry) => ({ ...entry, secretFile: resolve(entry.secretFile) })),
    mutualChap:
      mutualChap === undefined ? null : { ...mutualChap, secretFile: resolve(mutualChap.secretFile) },
  };
}

export function resolveLibrary(
  file: SettingsFile,
  stateDirectory: string,
  complaints: Complaints,
): LibrarySettings {
  const given = file.library ?? {};
  const slotCount = given.slots ?? DEFAULTS.slotCount;
  const barcodes: Barcode[] = [];
  for (const [index, text] of (given.barcodes ?? []).entries()) {
    const barcode = parseBarcode(text);
    const key = `library.barcodes[${index + 1}]`;
    if (isMalformed(barcode)) complaints.take(key, barcode, barcode);
    else if (barcodes.includes(barcode)) complaints.add(key, `${barcode} stands in the list twice`);
    else barcodes.push(barcode);
  }
  if (barcodes.length > slotCount) {
    complaints.add(
      "library.barcodes",
      `expected at most ${slotCount} (library.slots), found ${barcodes.length}`,
    );
  }
  const cartridges = given.barcodes === undefined ? slotCount : barcodes.length;
  const spareCartridgeCount = given.spareCartridges ?? DEFAULTS.spareCartridgeCount;
  if (given.kind !== "iscsi" && spareCartridgeCount > 0 && spareCartridgeCount >= cartridges) {
    complaints.add(
      "library.spareCartridges",
      `expected less than the cartridges there are (${cartridges}), found ${spareCartridgeCount}`,
    );
  }
  const foreign = resolveForeign(given, complaints);
  const spareCount = given.spares ?? (foreign === null ? DEFAULTS.spareCount : 0);
  return {
    kind: foreign === null ? "file" : "iscsi",
    foreign,
    directory: join(stateDirectory, foreign === null ? "library" : "library-iscsi"),
    driveCount: driveCountOf(given, foreign, spareCount, complaints),
    spareCount,
    slotCount,
    mailSlotCount: given.mailSlots ?? DEFAULTS.mailSlotCount,
    barcodes: given.barcodes === undefined && foreign === null ? defaultBarcodes(slotCount) : barcodes,
    spareCartridgeCount,
    capacityBytes:
      given.capacityMegabytes === undefined ? DEFAULTS.capacityBytes : given.capacityMegabytes * MIB,
    paceBytesPerSecond: (given.paceMegabytesPerSecond ?? 0) * 1_000_000,
    bufferBytes:
      given.bufferMegabytes === undefined ? DEFAULTS.driveBufferBytes : given.bufferMegabytes * MIB,
    latencies: {
      loadMs: given.latencies?.loadMs ?? 0,
      unloadMs: given.latencies?.unloadMs ?? 0,
      rewindMs: given.latencies?.rewindMs ?? 0,
      locateMs: given.latencies?.locateMs ?? 0,
      moveMs: given.latencies?.moveMs ?? 0,
      filemarkMs: given.latencies?.filemarkMs ?? 0,
    },
    faults: given.faults ?? [],
  };
}

/** Where complaints about a device's key point: its own table if the key stands there, else the common one. */
function keyOf(index: number, own: DeviceDefaultsFile, field: keyof DeviceDefaultsFile): string {
  return own[field] === undefined ? `device.${field}` : `devices[${index + 1}].${field}`;
}

function resolveCache(
  given: CacheFile,
  key: string,
  directory: string,
  ringBytesAsked: number | undefined,
  least: number,
  complaints: Complaints,
): { cache: CacheSettings; ringBytes: number } {
  const members = given.members ?? DEFAULTS.memberCount;
  if (members === 0) {
    const cache = withoutCache(given, key, complaints);
    return { cache, ringBytes: ringBytesAsked ?? Math.max(DEFAULTS.ringBytes, least) };
  }
  const parity =
    given.parity ?? (members === 1 || (Array.isArray(members) && members.length === 1) ? "none" : "one");
  const memberPaths =
    typeof members === "number"
      ? Array.from({ length: members }, (_, member) => join(directory, `member-${member + 1}`))
      : members.map((path) => (isAbsolute(path) ? path : resolve(directory, "..", "..", path)));
  if (new Set(memberPaths).size !== memberPaths.length)
    complaints.add(`${key}.members`, "a path stands there twice");
  const dataMembers = memberPaths.length - (parity === "one" ? 1 : 0);
  if (dataMembers < 1)
    complaints.add(`${key}.members`, 'expected at least 2 members with parity = "one", found 1');
  const stripBytes = given.stripKilobytes === undefined ? DEFAULTS.stripBytes : given.stripKilobytes * KIB;
  const stripeBytes = stripBytes * Math.max(1, dataMembers);

  // Not set: the largest whole number of stripes that is no more than the default, and no less than four blocks.
  const chosen =
    Math.max(2, Math.floor(DEFAULTS.ringBytes / stripeBytes), Math.ceil(least / stripeBytes)) * stripeBytes;
  const ringBytes = ringBytesAsked ?? chosen;
  const cacheBytes =
    given.megabytes === undefined
      ? Math.max(2, Math.round(DEFAULTS.cacheBytes / ringBytes)) * ringBytes
      : given.megabytes * MIB;
  return { cache: { memberPaths, parity, stripBytes, stripeBytes, cacheBytes }, ringBytes };
}

/** Tape only: nothing is left to replay a lost drive's blocks from, so it is never the default. */
function withoutCache(given: CacheFile, key: string, complaints: Complaints): CacheSettings {
  for (const field of ["megabytes", "stripKilobytes", "parity"] as const) {
    if (given[field] !== undefined)
      complaints.add(`${key}.${field}`, `expected none with ${key}.members = 0`);
  }
  const { stripBytes } = DEFAULTS;
  return { memberPaths: [], parity: "none", stripBytes, stripeBytes: stripBytes, cacheBytes: 0 };
}

/** The two whole multiples of `step` around `value`, in megabytes where they are whole: "255 or 258". */
function around(valueBytes: number, stepBytes: number): string {
  const stepMegabytes = leastCommonMultiple(stepBytes, MIB) / MIB;
  const below = Math.floor(valueBytes / MIB / stepMegabytes) * stepMegabytes;
  const above = below + stepMegabytes;
  return below > 0 ? `${below} or ${above}` : String(above);
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

function checkRelations(
  device: DeviceSettings,
  keyFor: (field: keyof DeviceDefaultsFile) => string,
  capacityBytes: number,
  complaints: Complaints,
): void {
  const { ringBytes, maxBlockBytes, padBytes, hostLagBytes, cache } = device;
  const megabytes = (bytes: number) => `${bytes / MIB} MB`;
  if (ringBytes % cache.stripeBytes !== 0) {
    complaints.add(
      keyFor("ringMegabytes"),
      `expected a whole number of stripes of ${cache.stripeBytes / KIB} KB, as ${around(ringBytes, cache.stripeBytes)}, found ${ringBytes / MIB}`,
    );
  }
  // A stripe that is not full stays in the ring: with one alone there would be no place for what fills it.
  if (cache.memberPaths.length > 0 && ringBytes < 2 * cache.stripeBytes) {
    complaints.add(
      keyFor("ringMegabytes"),
      `expected at least two stripes of ${cache.stripeBytes / KIB} KB, found ${ringBytes / MIB}`,
    );
  }
  if (ringBytes < 4 * maxBlockBytes) {
    complaints.add(
      keyFor("ringMegabytes"),
      `expected at least four of the largest blocks, ${megabytes(4 * maxBlockBytes)}, found ${ringBytes / MIB} (or set maxBlockKilobytes to ${Math.floor(ringBytes / 4 / KIB)} or less)`,
    );
  }
  if (cache.memberPaths.length === 0) {
    // Tape only: the ring alone counts.
  } else if (cache.cacheBytes % ringBytes !== 0) {
    complaints.add(
      `${keyFor("cache")}.megabytes`,
      `expected a multiple of the ring of ${megabytes(ringBytes)}, as ${around(cache.cacheBytes, ringBytes)}, found ${cache.cacheBytes / MIB}`,
    );
  } else if (cache.cacheBytes < 2 * ringBytes) {
    complaints.add(
      `${keyFor("cache")}.megabytes`,
      `expected at least twice the ring of ${megabytes(ringBytes)}, found ${cache.cacheBytes / MIB}`,
    );
  }
  if (padBytes < ringBytes + hostLagBytes) {
    complaints.add(
      keyFor("padMegabytes"),
      `expected at least ring and lag together, ${megabytes(ringBytes + hostLagBytes)}, found ${padBytes / MIB}`,
    );
  }
  if (padBytes >= capacityBytes) {
    complaints.add(
      "library.capacityMegabytes",
      `expected more than the pad of ${megabytes(padBytes)}, found ${capacityBytes / MIB}`,
    );
  }
}

export function resolveDevices(
  file: SettingsFile,
  library: LibrarySettings,
  stateDirectory: string,
  complaints: Complaints,
): DeviceSettings[] {
  const common = file.device ?? {};
  const list: readonly DeviceFile[] =
    file.devices ?? Array.from({ length: library.driveCount }, (): DeviceFile => ({}));
  if (list.length > library.driveCount) {
    complaints.add(
      "devices",
      `expected at most ${library.driveCount} (library.drives; each needs a drive of its own), found ${list.length}`,
    );
  }
  const devices = list.map((own, index): DeviceSettings => {
    const at = `devices[${index + 1}]`;
    const keyFor = (field: keyof DeviceDefaultsFile) => keyOf(index, own, field);
    const nameText = own.name ?? `drive-${index + 1}`;
    const name = complaints.take(
      `${at}.name`,
      parseDeviceName(nameText),
      fallback(parseDeviceName("drive-1")),
    );
    const merged = { ...common, ...own, cache: { ...common.cache, ...own.cache } };
    const maxBlockBytes =
      merged.maxBlockKilobytes === undefined ? DEFAULTS.maxBlockBytes : merged.maxBlockKilobytes * KIB;
    const { cache, ringBytes } = resolveCache(
      merged.cache,
      keyFor("cache"),
      join(stateDirectory, "cache", name),
      merged.ringMegabytes === undefined ? undefined : merged.ringMegabytes * MIB,
      4 * maxBlockBytes,
      complaints,
    );
    const hostLagBytes = merged.hostLagMegabytes === undefined ? ringBytes : merged.hostLagMegabytes * MIB;
    const device: DeviceSettings = {
      name,
      lun: index + 1,
      serial: complaints.take(
        `${at}.serial`,
        parseSerialNumber(own.serial ?? `UNDV${String(index + 1).padStart(6, "0")}`),
        fallback(parseSerialNumber("UNDV000000")),
      ),
      drive: complaints.take(`${at}.drive`, parseDriveId(own.drive ?? index + 1), fallback(parseDriveId(1))),
      ringBytes,
      maxBlockBytes,
      hostLagBytes,
      padBytes:
        merged.padMegabytes === undefined
          ? ringBytes + hostLagBytes + 4 * maxBlockBytes
          : merged.padMegabytes * MIB,
      spares: merged.spares ?? "dedicated",
      noSpare: merged.noSpare ?? "report",
      badCartridge: merged.badCartridge ?? "swap",
      driveAnswerMs:
        merged.driveAnswerSeconds === undefined ? DEFAULTS.driveAnswerMs : merged.driveAnswerSeconds * 1000,
      cache,
    };
    if (device.drive > library.driveCount) {
      complaints.add(
        `${at}.drive`,
        `expected 1 to ${library.driveCount} (library.drives), found ${device.drive}`,
      );
    }
    checkRelations(device, keyFor, library.capacityBytes, complaints);
    return device;
  });
  for (const [field, what] of [
    ["name", "name"],
    ["serial", "serial number"],
    ["drive", "real drive"],
  ] as const) {
    rejectTwins(devices, field, what, complaints);
  }
  rejectSharedMembers(devices, complaints);
  return devices;
}

function rejectTwins(
  devices: readonly DeviceSettings[],
  field: "name" | "serial" | "drive",
  what: string,
  complaints: Complaints,
): void {
  const seen = new Map<string | number, number>();
  for (const [index, device] of devices.entries()) {
    const earlier = seen.get(device[field]);
    if (earlier !== undefined) {
      complaints.add(
        `devices[${index + 1}].${field}`,
        `expected a ${what} of its own, found ${device[field]}, which devices[${earlier + 1}] has`,
      );
    } else {
      seen.set(device[field], index);
    }
  }
}

function rejectSharedMembers(devices: readonly DeviceSettings[], complaints: Complaints): void {
  const owners = new Map<string, DeviceSettings>();
  for (const device of devices) {
    for (const path of device.cache.memberPaths) {
      const owner = owners.get(path);
      if (owner !== undefined && owner !== device) {
        complaints.add(
          `devices[${device.lun}].cache.members`,
          `expected members of its own, found ${path}, which ${owner.name} uses: give each device its own list`,
        );
        break;
      }
      owners.set(path, device);
    }
  }
}

/** A value that only stands in while the settings are refused anyway. */
function fallback<T>(value: T | Malformed): T {
  if (isMalformed(value)) throw new Error(`not a fallback: ${value.given}`);
  return value;
}
