/** @module What `--delete` leaves alone although the backup does not have it: what was left out of the backup on purpose,
 *  or could not be read; what lies in file systems that hold no files of their own; stores of backups. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { DirectoryIdentity } from "../scan/messages.ts";
import { Exclusions } from "../scan/patterns.ts";
import { pseudoFileSystems } from "../scan/selection.ts";
import type { Spared } from "./extra.ts";
import { isWithin } from "../entry.ts";

/** As a backup's header tells it. */
const rulesSchema = z.object({
  exclude: z.array(z.string()),
  excludeCaches: z.boolean(),
  sizeMaxBytes: z.number().nullable(),
  honourNodump: z.boolean(),
  oneFileSystem: z.boolean(),
});

export interface SparedRequest {
  /** Of the backup's header: null where it is unknown, and then nothing may be deleted. */
  readonly selection: unknown;
  /** Without their leading slash. */
  readonly roots: readonly Uint8Array[];
  /** Paths that could not be read when the backup was made. */
  readonly unread: readonly Uint8Array[];
  readonly stores: readonly DirectoryIdentity[];
}

const NODUMP = 0x40;
const CACHE_TAG = "CACHEDIR.TAG";
const SLASH = 0x2f;

/** null: it cannot be told what was left out. */
export function sparedBy(request: SparedRequest): Spared | null {
  const parsed = rulesSchema.safeParse(request.selection);
  if (!parsed.success) return null;
  const { exclude, excludeCaches, sizeMaxBytes, honourNodump, oneFileSystem } = parsed.data;
  const rules = request.roots.map((root) => ({ root, exclusions: new Exclusions(exclude, root) }));
  const unread = new Set(request.unread.map((path) => Buffer.from(path).toString("latin1")));
  const pseudo = pseudoFileSystems(mountsHere());
  return {
    directories: request.stores,
    isExcluded(path, isDirectory, found) {
      if (!isDirectory && sizeMaxBytes !== null && found.sizeBytes > sizeMaxBytes) return true;
      if (honourNodump && (found.attributes & NODUMP) !== 0) return true;
      const rule = rules.find(({ root }) => isWithin(path, path.length, root));
      if (rule === undefined || rule.exclusions.isEmpty) return false;
      const from = rule.root.length === 0 ? 0 : rule.root.length + 1;
      return rule.exclusions.has(path, from, path.lastIndexOf(SLASH) + 1, path.length, isDirectory);
    },
    isWhole(path, names, found, isMountPoint) {
      if (pseudo.has(found.device) || unread.has(Buffer.from(path).toString("latin1"))) return true;
      // Of a directory with a tag only the tag was backed up.
      if (excludeCaches && names.has(CACHE_TAG)) return true;
      // It was listed, and not entered.
      return oneFileSystem && isMountPoint && names.size === 0;
    },
  };
}

function mountsHere(): string {
  try {
    return readFileSync("/proc/self/mountinfo", "latin1");
  } catch {
    return "";
  }
}
