/** @module Paths in JSON: a string where the bytes are UTF-8, {"b64": ...} where they are not. */

export type JsonPath = string | { readonly b64: string };

export function pathToJson(path: Uint8Array): JsonPath {
  const text = Buffer.from(path.buffer, path.byteOffset, path.length).toString("utf8");
  if (Buffer.from(text, "utf8").equals(path)) return text;
  return { b64: Buffer.from(path).toString("base64") };
}

export function pathFromJson(path: JsonPath): Uint8Array {
  const bytes = typeof path === "string" ? Buffer.from(path, "utf8") : Buffer.from(path.b64, "base64");
  return new Uint8Array(bytes);
}
