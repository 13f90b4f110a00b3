/** @module The backup's users and groups on this computer: known by name, and by number where the name is unknown here. */
import { dlopen, FFIType, read } from "bun:ffi";
import type { Identities } from "./attributes.ts";

const { symbols: c } = dlopen("libc.so.6", {
  getpwnam: { args: [FFIType.cstring], returns: FFIType.ptr },
  getgrnam: { args: [FFIType.cstring], returns: FFIType.ptr },
});

/** Where uid_t and gid_t stand in struct passwd and struct group, behind two pointers. */
const ID_AT = 16;

/** The number of a name here; null: unknown. */
export type IdOf = (name: string) => number | null;

export const localUser: IdOf = (name) => {
  const found = c.getpwnam(Buffer.from(`${name}\0`) as unknown as never);
  return found === null ? null : read.u32(found, ID_AT);
};

export const localGroup: IdOf = (name) => {
  const found = c.getgrnam(Buffer.from(`${name}\0`) as unknown as never);
  return found === null ? null : read.u32(found, ID_AT);
};

/** Number to number, where they differ. Names of the backup by number as text. */
export function mapNames(names: Readonly<Record<string, string>>, idOf: IdOf): Map<number, number> {
  const map = new Map<number, number>();
  for (const [text, name] of Object.entries(names)) {
    const number = Number(text);
    const here = idOf(name);
    if (here !== null && here !== number && Number.isSafeInteger(number)) map.set(number, here);
  }
  return map;
}

export function identitiesHere(
  users: Readonly<Record<string, string>>,
  groups: Readonly<Record<string, string>>,
): Identities {
  return { users: mapNames(users, localUser), groups: mapNames(groups, localGroup) };
}
