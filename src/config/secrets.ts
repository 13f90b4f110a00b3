/** @module Secrets by reference: the settings name files, and only here are those read, at a start. What is read lives
 *  in memory and goes to the one thread that needs it; messages name the file, never what is in it. */
import { readFileSync, statSync } from "node:fs";
import {
  CHAP_SECRET_BYTES_MIN,
  type ChapAccess,
  type ChapCredentials,
  type OwnLogin,
} from "../iscsi/chap.ts";
import type { ChapUser, ForeignSettings, IscsiSettings } from "./settings.ts";

const CHAP_SECRET_BYTES_MAX = 255;
/** Readable or writable by anybody but the owner. */
const MODE_OF_OTHERS = 0o077;

export type ChapSecrets =
  /** null: anybody may log in. `notes`: what the operator should mend. */
  | { readonly kind: "secrets"; readonly access: ChapAccess | null; readonly notes: readonly string[] }
  | { readonly kind: "refused"; readonly text: string };

/** By which secrets we log in to targets of others. */
export type OwnSecrets =
  /** `loginFor`: null: without a password. */
  | {
      readonly kind: "secrets";
      readonly loginFor: (targetName: string) => OwnLogin | null;
      readonly notes: readonly string[];
    }
  | { readonly kind: "refused"; readonly text: string };

class Refused extends Error {}

/** Reads one secret after the other and keeps what is to be mended. */
class SecretReader {
  readonly #notes = new Set<string>();

  get notes(): readonly string[] {
    return [...this.#notes];
  }

  read({ user, secretFile }: ChapUser): ChapCredentials {
    let secret: Uint8Array;
    try {
      const { mode } = statSync(secretFile);
      if ((mode & MODE_OF_OTHERS) !== 0)
        this.#notes.add(`${secretFile} holds a secret and is open to other users: chmod 600 ${secretFile}`);
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
  }
}

const same = (one: ChapCredentials, other: ChapCredentials) => Buffer.compare(one.secret, other.secret) === 0;

function refusedBy(error: unknown): { readonly kind: "refused"; readonly text: string } {
  if (error instanceof Refused) return { kind: "refused", text: error.message };
  throw error;
}

/** By what backup servers log in to us. */
export function readChapSecrets(iscsi: Pick<IscsiSettings, "chap" | "mutualChap">): ChapSecrets {
  if (iscsi.chap.length === 0) return { kind: "secrets", access: null, notes: [] };
  const reader = new SecretReader();
  try {
    const entries = iscsi.chap.map((entry) => ({ initiator: entry.initiator, ...reader.read(entry) }));
    const mutual = iscsi.mutualChap === null ? null : reader.read(iscsi.mutualChap);
    if (mutual !== null && entries.some((entry) => same(entry, mutual)))
      throw new Refused("iscsi.mutualChap: expected a secret of its own, found one that iscsi.chap has");
    return { kind: "secrets", access: { entries, mutual }, notes: reader.notes };
  } catch (error) {
    return refusedBy(error);
  }
}

/** By what we log in to targets of others. */
export function readOwnSecrets(foreign: Pick<ForeignSettings, "chap"> | null): OwnSecrets {
  const reader = new SecretReader();
  try {
    const logins = new Map<string | null, OwnLogin>();
    for (const [index, entry] of (foreign?.chap ?? []).entries()) {
      const own = reader.read(entry);
      const mutual = entry.mutual === null ? null : reader.read(entry.mutual);
      if (mutual !== null && same(own, mutual))
        throw new Refused(
          `library.chap[${index + 1}].mutual: expected a secret of its own, found that of ${own.user}`,
        );
      logins.set(entry.target, mutual === null ? own : { ...own, mutual });
    }
    const loginFor = (targetName: string) => logins.get(targetName) ?? logins.get(null) ?? null;
    return { kind: "secrets", loginFor, notes: reader.notes };
  } catch (error) {
    return refusedBy(error);
  }
}

/** An editor's line end is not part of the secret. */
function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  if (bytes[end - 1] === 10) end--;
  if (end < bytes.length && bytes[end - 1] === 13) end--;
  return Uint8Array.from(bytes.subarray(0, end));
}
