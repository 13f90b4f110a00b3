/** @module Where a run begins to look: the sources that are there, and those that are not. One that is missing (a disk
 *  that is not mounted, a name misspelt) does not keep the others from being backed up: it is told, and what the parent
 *  has of it stays. */
import { resolve } from "node:path";
import { comparePaths } from "../entry.ts";
import { resolveRoots } from "../scan/selection.ts";
import type { Complaint } from "./messages.ts";

export interface Sources {
  readonly kind: "sources";
  /** As the scan takes them, in order. */
  readonly roots: readonly Uint8Array[];
  readonly missing: readonly Complaint[];
}

/** "none": not one of them is there. */
export function findSources(
  sources: readonly Uint8Array[],
): Sources | { readonly kind: "none"; readonly source: Uint8Array; readonly text: string } {
  const there: Uint8Array[] = [];
  const missing: Complaint[] = [];
  for (const source of sources) {
    const found = resolveRoots([source]);
    if (found.kind === "roots") there.push(source);
    else missing.push({ path: plainPath(source), text: `cannot be backed up: ${found.text}` });
  }
  const roots = resolveRoots(there);
  // It went between the two looks.
  if (roots.kind === "missing") return { kind: "none", source: roots.source, text: roots.text };
  const [first] = missing;
  if (roots.roots.length === 0 && first !== undefined)
    return { kind: "none", source: first.path, text: first.text };
  return { kind: "sources", roots: roots.roots, missing };
}

/** All that was asked for, in order: what the archive's header names. */
export function allSources({ roots, missing }: Sources): readonly Uint8Array[] {
  return [...roots, ...missing.map(({ path }) => path)].sort((a, b) =>
    comparePaths(a, a.length, b, b.length),
  );
}

/** Without looking: links above it are not seen through. */
function plainPath(source: Uint8Array): Uint8Array {
  const text = Buffer.from(source).toString("latin1");
  const whole = text.startsWith("/")
    ? resolve(text)
    : resolve(Buffer.from(process.cwd()).toString("latin1"), text);
  return new Uint8Array(Buffer.from(whole.slice(1), "latin1"));
}
