/** @module What is to be backed up: from what the operator says to the rules that every Worker of a scan goes by. */
import { lstatSync, readFileSync, realpathSync } from "node:fs";
import { AT_FDCWD, CPath, deviceNumber, Statx } from "../../base/files.ts";
import { comparePaths } from "../entry.ts";
import type { DirectoryIdentity, ScanRules } from "./messages.ts";

export interface Selection {
  /** Paths as given. A last name that is a symbolic link stands for the link, unless a slash follows it. */
  readonly sources: readonly Uint8Array[];
  /** Patterns of what is left out, in order; "!" brings back (patterns.ts). */
  readonly exclude: readonly string[];
  readonly excludeCaches: boolean;
  readonly sizeMaxBytes: number | null;
  readonly honourNodump: boolean;
  readonly oneFileSystem: boolean;
}

/** Where nothing is named: the system's configuration, what people keep, what services keep, what was installed by
 *  hand. Not: what a package manager brings back, what the next start makes anew. */
export const DEFAULT_SOURCES: readonly string[] = [
  "/etc",
  "/home",
  "/root",
  "/srv",
  "/var",
  "/opt",
  "/usr/local",
  "/boot",
];

/** Goes with the default sources only. */
export const DEFAULT_EXCLUDE: readonly string[] = [
  "/var/cache/",
  "/var/tmp/",
  "/var/run",
  "/var/lock",
  "/home/*/.cache/",
  "/root/.cache/",
  "/home/*/.local/share/Trash/",
];

export type RootsOutcome =
  | { readonly kind: "roots"; readonly roots: readonly Uint8Array[] }
  /** A source that is not there, or cannot be looked at. */
  | { readonly kind: "missing"; readonly source: Uint8Array; readonly text: string };

const SLASH = 0x2f;

/** Absolute paths without links above their last name, in order, each once. */
export function resolveRoots(sources: readonly Uint8Array[]): RootsOutcome {
  const roots: Uint8Array[] = [];
  for (const source of sources) {
    try {
      roots.push(resolveRoot(source));
    } catch (cause) {
      return { kind: "missing", source, text: cause instanceof Error ? cause.message : String(cause) };
    }
  }
  roots.sort((a, b) => comparePaths(a, a.length, b, b.length));
  return {
    kind: "roots",
    roots: roots.filter(
      (root, number) => number === 0 || Buffer.compare(root, roots[number - 1] as Uint8Array),
    ),
  };
}

function resolveRoot(source: Uint8Array): Uint8Array {
  let end = source.length;
  while (end > 0 && source[end - 1] === SLASH) end--;
  const bare = Buffer.from(source.subarray(0, end));
  const slash = bare.lastIndexOf(SLASH);
  const name = bare.subarray(slash + 1);
  const isDots = name.length === 0 || name.equals(Buffer.from(".")) || name.equals(Buffer.from(".."));
  // A trailing slash, or a name that is none: the thing itself.
  if (end < source.length || isDots)
    return real(source.length === 0 ? Buffer.from(".") : Buffer.from(source));
  const parent = real(
    slash < 0 ? Buffer.from(".") : slash === 0 ? Buffer.from("/") : bare.subarray(0, slash),
  );
  const whole = parent.length === 0 ? name : Buffer.concat([parent, Buffer.from("/"), name]);
  lstatSync(Buffer.concat([Buffer.from("/"), whole]));
  return new Uint8Array(whole);
}

/** The real path without its leading slash. */
function real(path: Buffer): Buffer {
  return realpathSync(path, { encoding: "buffer" }).subarray(1);
}

/** The sources of the default selection that this computer has. */
export function defaultSelection(): Selection {
  const sources = DEFAULT_SOURCES.filter((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  return {
    sources: sources.map((path) => new Uint8Array(Buffer.from(path))),
    exclude: DEFAULT_EXCLUDE,
    excludeCaches: true,
    sizeMaxBytes: null,
    honourNodump: true,
    oneFileSystem: false,
  };
}

/** Types of file systems that show the kernel's state or another place's files: nothing in them can be restored. */
const PSEUDO = new Set(
  (
    "autofs binder binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl fuse.gvfsd-fuse " +
    "fuse.lxcfs fuse.portal hugetlbfs mqueue nfsd nsfs proc pstore resctrl rpc_pipefs securityfs selinuxfs smackfs " +
    "sockfs sysfs tracefs"
  ).split(" "),
);

/** Device numbers of pseudo file systems, from the text of /proc/self/mountinfo. */
export function pseudoFileSystems(mountinfo: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const line of mountinfo.split("\n")) {
    const device = /^\d+ \d+ (\d+):(\d+) /.exec(line);
    const type = / - (\S+) /.exec(line)?.[1];
    if (device === null || type === undefined || !PSEUDO.has(type)) continue;
    found.set(deviceNumber(Number(device[1]), Number(device[2])), type);
  }
  return found;
}

function readMounts(): string {
  try {
    return readFileSync("/proc/self/mountinfo", "latin1");
  } catch {
    return "";
  }
}

/** The rules of a scan of this computer as it is now. */
export function scanRules(
  selection: Selection,
  roots: readonly Uint8Array[],
  stores: readonly DirectoryIdentity[],
  mountinfo = readMounts(),
): ScanRules {
  const { exclude, excludeCaches, sizeMaxBytes, honourNodump, oneFileSystem } = selection;
  const pseudo = pseudoFileSystems(mountinfo);
  return { roots, exclude, excludeCaches, sizeMaxBytes, honourNodump, oneFileSystem, pseudo, stores };
}

/** What tells a directory from all others: the store leaves itself out. */
export function identityOf(directory: string | Uint8Array): DirectoryIdentity {
  const statx = new Statx();
  statx.at(AT_FDCWD, new CPath().of(Buffer.from(directory)), 0);
  return { device: statx.device, inodeHigh: statx.inodeHigh, inodeLow: statx.inodeLow };
}
