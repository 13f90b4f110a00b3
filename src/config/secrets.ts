/** @module Secrets by reference: the settings name files, and only here are those read, at a start. What is read lives
 *  in memory and goes to the one thread that needs it; messages name the file, never what is in it. */
import { readFileSync, statSync } from "node:fs";
import { CHAP_SECRET_BYTES_MIN, type ChapAccess, type ChapCredentials } from "../iscsi/chap.ts";
import type { ChapUser, IscsiSettings } from "./settings.ts";

const CHAP_SECRET_BYTES_MAX = 255;
/** Readable or writable by anybody but the owner. */
const MODE_OF_OTHERS = 0o077;

export type ChapSecrets =
  /** null: anybody may log in. `notes`: what the operator should mend. */
  | { readonly kind: "secrets"; readonly access: ChapAccess | null; readonly notes: readonly string[] }
  | { readonly kind: "refused"; readonly text: string };

class Refused extends Error {}

export function readChapSecrets(iscsi: Pick<IscsiSettings, "chap" | "mutualChap">): ChapSecrets {
  if (iscsi.chap.length === 0) return { kind: "secrets", access: null, notes: [] };
  const notes: string[] = [];
  const read = ({ user, secretFile }: ChapUser): ChapCredentials => {
    let secret: Uint8Array;
    try {
      const { mode } = statSync(secretFile);
      if ((mode & MODE_OF_OTHERS) !== 0)
        notes.push(`${secretFile} holds a secret and is open to other users: chmod 600 ${secretFile}`);
      secret = withoutLineEnd(readFileSync(secretFile));
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "an error";
      throw new Refused(`${secretFile}: the secret cannot be read: ${code}`);
    }
    if (secret.length < CHAP_SECRET_BYTES_MIN || secret.length > CHAP_SECRET_BYTES_MAX) {
      throw new Refused(
        `${secretFile}: expected a secret of ${CHAP_SECRET_BYTES_MIN} to ${CHAP_SECRET_BYTES_MAX} bytes, found ${secret.length}`,
      );
    }
    return { user, secret };
  };
  try {
    const entries = iscsi.chap.map((entry) => ({ initiator: entry.initiator, ...read(entry) }));
    const mutual = iscsi.mutualChap === null ? null : read(iscsi.mutualChap);
    if (mutual !== null && entries.some(({ secret }) => Buffer.compare(secret, mutual.secret) === 0))
      throw new Refused("iscsi.mutualChap: expected a secret of its own, found one that iscsi.chap has");
    return { kind: "secrets", access: { entries, mutual }, notes: [...new Set(notes)] };
  } catch (error) {
    if (error instanceof Refused) return { kind: "refused", text: error.message };
    throw error;
  }
}

/** An editor's line end is not part of the secret. */
function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  if (bytes[end - 1] === 10) end--;
  if (end < bytes.length && bytes[end - 1] === 13) end--;
  return Uint8Array.from(bytes.subarray(0, end));
}
