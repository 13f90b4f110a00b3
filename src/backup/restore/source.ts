/** @module A backup in a store as a restore needs it: its index, the archives that hold its chunks, its roots, its users
 *  and groups by name. */
import { isMalformed, type Malformed } from "../../base/brands.ts";
import { pathLine } from "../archive/names.ts";
import { KIND } from "../entry.ts";
import { identityOf } from "../scan/selection.ts";
import { isFault, type ReadableStore } from "../store/contract.ts";
import { type Identities, SAME_IDENTITIES } from "./attributes.ts";
import type { PackPaths } from "./chunks.ts";
import { type DamagedIndex, damageOf, gapText, mayLieIn } from "./damage.ts";
import type { Spared } from "./extra.ts";
import { identitiesHere } from "./identities.ts";
import type { Root } from "./mounts.ts";
import { type EntryIndex, joinPath, selectPaths, tidyPath } from "./select.ts";
import { sparedBy } from "./spared.ts";

export interface SelectedPaths {
  readonly kind: "selected";
  readonly paths: readonly Uint8Array[];
  /** As given. */
  readonly missing: readonly Uint8Array[];
}

export interface RestoreSource {
  readonly kind: "source";
  readonly index: EntryIndex;
  readonly packs: PackPaths;
  readonly roots: readonly Root[];
  readonly identities: Identities;
  /** Of the whole backup; null: unknown. */
  readonly totals: { readonly files: number; readonly bytes: number } | null;
  /** null: what was left out of it cannot be told, so nothing may be deleted. */
  readonly spared: Spared | null;
  readonly notes: readonly string[];
  select(paths: readonly Uint8Array[]): SelectedPaths | Malformed | DamagedIndex;
}

export function openSource(
  store: ReadableStore,
  number: number,
  numericIds: boolean,
): RestoreSource | DamagedIndex {
  const reader = store.readerOf(number);
  if (isFault(reader)) return { kind: "damaged", text: reader.text };
  try {
    const index = store.mendedIndexOf(number);
    if (isFault(index)) return { kind: "damaged", text: index.text };
    const notes: string[] = [];
    const read = reader.extra();
    const extra = read.kind === "extra" ? read.extra : null;
    if (read.kind !== "extra") {
      notes.push(`backup ${number}: ${read.text}: owners go by number, and nothing can be deleted`);
    }
    const roots = reader.header.roots.map((root): Root => {
      const path = root[0] === 0x2f ? root.subarray(1) : root;
      return { path, isDirectory: (index.find(path)?.kind ?? KIND.directory) === KIND.directory };
    });
    const counts = extra?.counts ?? {};
    const { entries, bytes } = counts;
    return {
      kind: "source",
      index,
      packs: packsOf(store),
      roots,
      identities: numericIds || extra === null ? SAME_IDENTITIES : identitiesHere(extra.users, extra.groups),
      totals: entries === undefined || bytes === undefined ? null : { files: counts.files ?? entries, bytes },
      spared:
        extra === null
          ? null
          : sparedBy({
              selection: reader.header.selection,
              roots: roots.map(({ path }) => path),
              unread: extra.errors.map(({ path }) => path),
              stores: [identityOf(store.directory)],
            }),
      notes,
      select: (paths) =>
        guarded(() => {
          const tops = roots.map(({ path }) => path);
          const found = selectPaths(paths, tops, index);
          if (isMalformed(found)) return found;
          // What is not there may be what is lost.
          for (const path of found.missing) {
            const tidy = tidyPath(path);
            if (isMalformed(tidy)) return tidy;
            const gap = index.gaps.find(
              (one) => mayLieIn(tidy, one) || tops.some((top) => mayLieIn(joinPath([top, tidy]), one)),
            );
            if (gap !== undefined) return { kind: "damaged", text: `${pathLine(path)}: ${gapText(gap)}` };
          }
          return { kind: "selected", ...found };
        }),
    };
  } catch (error) {
    return damageOf(error);
  }
}

function guarded<T>(ask: () => T): T | DamagedIndex {
  try {
    return ask();
  } catch (error) {
    return damageOf(error);
  }
}

function packsOf(store: ReadableStore): PackPaths {
  const packs = new Map<number, string>();
  for (const { number } of [...store.tree(), ...store.packs()]) {
    const path = store.archivePath(number);
    if (path !== null) packs.set(number, path);
  }
  return packs;
}
