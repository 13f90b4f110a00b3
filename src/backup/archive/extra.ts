/** @module The extra section: u32 length of a JSON text, the JSON, then the changed-path filter to the end. The JSON has a
 *  copy of the header's, for the case that the header is damaged. */
import { z } from "zod";
import { pathFromJson, pathToJson } from "./names.ts";
import type { ArchiveExtra } from "./types.ts";

const schema = z.object({
  header: z.string(),
  users: z.record(z.string(), z.string()),
  groups: z.record(z.string(), z.string()),
  counts: z.record(z.string(), z.number()),
  errors: z.array(z.object({ path: z.union([z.string(), z.object({ b64: z.string() })]), text: z.string() })),
});

/** `header`: the JSON text of the header. */
export function encodeExtra(extra: ArchiveExtra, changes: Uint8Array, header: string): Uint8Array {
  const errors = extra.errors.map(({ path, text }) => ({ path: pathToJson(path), text }));
  const json = Buffer.from(JSON.stringify({ header, ...extra, errors }));
  const bytes = new Uint8Array(4 + json.length + changes.length);
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  bytes.set(json, 4);
  bytes.set(changes, 4 + json.length);
  return bytes;
}

/** null: not an extra section. */
export function decodeExtra(
  bytes: Uint8Array,
): { extra: ArchiveExtra; changes: Uint8Array; header: string } | null {
  if (bytes.length < 4) return null;
  const jsonBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (4 + jsonBytes > bytes.length) return null;
  try {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + 4, jsonBytes).toString("utf8");
    const { header, ...parsed } = schema.parse(JSON.parse(text));
    const errors = parsed.errors.map(({ path, text }) => ({ path: pathFromJson(path), text }));
    return { extra: { ...parsed, errors }, changes: bytes.slice(4 + jsonBytes), header };
  } catch {
    return null;
  }
}
