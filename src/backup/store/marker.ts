/** @module The marker: the file by which a directory is known to be a store, and which one. Its absence is how an empty
 *  mount point shows. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type StoreFault, type StoreIdentity, storeFault } from "./contract.ts";
import { errorCode, faultOf } from "./durable.ts";
import { MARKER } from "./layout.ts";
import { seal, unseal } from "./sealed.ts";

export const STORE_VERSION = 1;

export interface Marker extends StoreIdentity {
  /** The highest number that was given out and is no more to be seen: numbers are never used twice. */
  readonly lastNumber: number;
}

const markerSchema = z.object({
  id: z.uuid(),
  created: z.iso.datetime(),
  computers: z.array(z.object({ name: z.string(), machineId: z.string() })).min(1),
  capacityBytes: z.int().positive().nullable(),
  lastNumber: z.int().min(0),
});

export type MarkerRead =
  | { readonly kind: "marker"; readonly marker: Marker }
  | { readonly kind: "none" }
  /** There is one, and it cannot be trusted. */
  | { readonly kind: "damaged"; readonly fault: StoreFault }
  | StoreFault;

export function readMarker(directory: string): MarkerRead {
  const path = join(directory, MARKER);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = errorCode(error);
    return code === "ENOENT" || code === "ENOTDIR" ? { kind: "none" } : faultOf(path, error);
  }
  const damaged = (why: string): MarkerRead => ({
    kind: "damaged",
    fault: storeFault(
      "damaged",
      `${path}: the marker is damaged (${why}); the backups can be read; \`understudy store init\` mends it`,
    ),
  });
  // Before the seal: a later format may be sealed in another way.
  const version = versionIn(text);
  if (version !== null && version > STORE_VERSION) {
    return storeFault(
      "newer",
      `${directory}: written by a later understudy (store format ${version}, this one knows ${STORE_VERSION}); use that one`,
    );
  }
  const sealed = unseal(text);
  if (sealed.kind === "damaged") return damaged(sealed.text);
  const { format, version: _known, ...rest } = sealed.value;
  if (format !== "understudy-store") return damaged("it is of another program");
  const parsed = markerSchema.safeParse(rest);
  if (!parsed.success) return damaged("not understood");
  const { id, created, computers, capacityBytes, lastNumber } = parsed.data;
  return {
    kind: "marker",
    marker: { id, createdMs: Date.parse(created), computers, capacityBytes, lastNumber },
  };
}

function versionIn(text: string): number | null {
  try {
    const parsed: unknown = JSON.parse(text);
    const { format, version } = (parsed ?? {}) as Record<string, unknown>;
    return format === "understudy-store" && typeof version === "number" ? version : null;
  } catch {
    return null;
  }
}

export function markerText({ id, createdMs, computers, capacityBytes, lastNumber }: Marker): string {
  return seal({
    format: "understudy-store",
    version: STORE_VERSION,
    id,
    created: new Date(createdMs).toISOString(),
    computers,
    capacityBytes,
    lastNumber,
  });
}
