/** @module Where each root of a backup goes. Elsewhere, one root's contents land in the target itself, several under their
 *  full paths in it; in place, each goes where it came from. */
import { errorText } from "../../base/ffi.ts";
import { closeFd } from "../../base/files.ts";
import { isWithin } from "../entry.ts";
import { type Mount, makeDirectories, openDirectory } from "./target.ts";

export interface Root {
  /** Without its leading slash. */
  readonly path: Uint8Array;
  /** false: a single file was backed up. */
  readonly isDirectory: boolean;
}

export type Mounted =
  | { readonly kind: "mounted"; readonly mounts: readonly Mount[]; close(): void }
  | { readonly kind: "refused"; readonly text: string };

const SLASH = 0x2f;

/** `directory`: absolute; null: in place. With `make`, missing directories are made; without, what is missing has no
 *  mount. `paths`: the selection; roots that have no part in it are left alone. */
export function openMounts(
  roots: readonly Root[],
  directory: Uint8Array | null,
  paths: readonly Uint8Array[] | null,
  make: boolean,
): Mounted {
  const places = directory === null ? placesInPlace(roots, paths) : [placeElsewhere(roots, directory)];
  const mounts: Mount[] = [];
  const close = () => {
    for (const mount of mounts) closeFd(mount.fd);
  };
  for (const { prefix, path } of places) {
    let fd = openDirectory(path);
    if (fd === -ENOENT && make) {
      const made = makeDirectories(path);
      fd = made < 0 ? made : openDirectory(path);
    }
    if (fd === -ENOENT && !make) continue;
    const name = Buffer.from(path).toString();
    if (fd < 0) {
      close();
      return { kind: "refused", text: `${name}: ${errorText(fd)}` };
    }
    mounts.push({ prefix, fd, directory: name });
  }
  // The nearest one counts: a file's directory may hold another root.
  mounts.sort((a, b) => b.prefix.length - a.prefix.length);
  return { kind: "mounted", mounts, close };
}

const ENOENT = 2;

interface Place {
  readonly prefix: Uint8Array;
  readonly path: Uint8Array;
}

function placeElsewhere(roots: readonly Root[], directory: Uint8Array): Place {
  const only = roots.length === 1 ? roots[0] : undefined;
  return { prefix: only === undefined ? new Uint8Array(0) : prefixOf(only), path: directory };
}

function placesInPlace(roots: readonly Root[], paths: readonly Uint8Array[] | null): Place[] {
  const places = new Map<string, Place>();
  for (const root of roots) {
    const wanted =
      paths === null ||
      paths.some(
        (path) => isWithin(path, path.length, root.path) || isWithin(root.path, root.path.length, path),
      );
    if (!wanted) continue;
    const prefix = prefixOf(root);
    places.set(Buffer.from(prefix).toString("latin1"), { prefix, path: Uint8Array.of(SLASH, ...prefix) });
  }
  return [...places.values()];
}

/** What is left out of the paths of a root: itself, or of a single file its directory. */
function prefixOf(root: Root): Uint8Array {
  if (root.isDirectory) return root.path;
  return root.path.subarray(0, Math.max(0, root.path.lastIndexOf(SLASH)));
}
