/** @module Small JSON files that carry a hash of themselves: a flipped bit is noticed, wherever it is. */

export type Sealed =
  | { readonly kind: "good"; readonly value: Readonly<Record<string, unknown>> }
  | { readonly kind: "damaged"; readonly text: string };

function sealOf(value: Readonly<Record<string, unknown>>): string {
  return Bun.hash.xxHash3(JSON.stringify(value)).toString(16).padStart(16, "0");
}

/** The object with its seal as last key, as text. */
export function seal(value: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ ...value, seal: sealOf(value) }, null, 1)}\n`;
}

/** The object without its seal. */
export function unseal(text: string): Sealed {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { kind: "damaged", text: "not JSON" };
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    return { kind: "damaged", text: "not a JSON object" };
  }
  const { seal: given, ...value } = parsed as Record<string, unknown>;
  // Compared as text, whole: what JSON.parse forgives (spaces, a key twice) is a change too.
  if (given !== sealOf(value) || seal(value) !== text)
    return { kind: "damaged", text: "its seal does not fit" };
  return { kind: "good", value };
}
