/** @module Header and data digests (RFC 7143 §11.2.3, §13.1): CRC32C, on the wire with its lowest byte first. The header
 *  digest covers the header and its additional segments, the data digest the data segment and its padding. */
import { ptr } from "bun:ffi";
import { Crc32c } from "../../wasm/crc32c/crc32c.ts";
import { libc } from "../base/ffi.ts";
import type { SessionParameters } from "./keys.ts";

export const DIGEST_BYTES = 4;

export interface Digests {
  readonly crc: Crc32c | null;
  /** Bytes of the digest after the header, and after the data segment: 4, or 0 where there is none. */
  readonly headerBytes: number;
  readonly dataBytes: number;
}

export const NO_DIGESTS: Digests = { crc: null, headerBytes: 0, dataBytes: 0 };

/** What a session agreed on. */
export function digestsOf(parameters: SessionParameters, crc: () => Crc32c): Digests {
  const headerBytes = parameters.headerDigest === "CRC32C" ? DIGEST_BYTES : 0;
  const dataBytes = parameters.dataDigest === "CRC32C" ? DIGEST_BYTES : 0;
  return headerBytes + dataBytes === 0 ? NO_DIGESTS : { crc: crc(), headerBytes, dataBytes };
}

export function openCrc32c(): Crc32c {
  return new Crc32c(libc.memcpy, (view) => Number(ptr(view)));
}
