/** @module The shape of a cache array, checked once and then trusted.
 *  (1) ringBytes is a multiple of the stripe, cacheBytes of ringBytes (rule 8): a run of stripes that ends at the ring's
 *      end ends at the lap's end too.
 *  (2) A strip is a multiple of 4 KiB, so every transfer suits O_DIRECT. */
import { CACHE_IOVECS_BYTES, PARITY_BYTES } from "../../wasm/ring/layout.ts";
import {
  IOVEC_BYTES,
  IOVECS_A_CALL_MAX,
  MEMBER_DATA,
  MEMBER_TABLE_BYTES,
  MEMBERS_MAX,
} from "../../wasm/stripe/layout.ts";

export type Parity = "none" | "one";

export const DISK_BLOCK_BYTES = 4096;

export interface ArrayShape {
  readonly members: number;
  readonly parity: Parity;
  readonly stripBytes: number;
  /** Journal that the members hold together, parity not counted. */
  readonly cacheBytes: number;
  readonly ringBytes: number;
}

export interface Geometry extends ArrayShape {
  readonly parityStrips: 0 | 1;
  readonly dataStrips: number;
  readonly stripeBytes: number;
  /** Stripes that one lap holds. */
  readonly slots: number;
  /** Size of a member file. */
  readonly memberBytes: number;
  /** Stripes that one `writeStripes` can take. */
  readonly stripesMax: number;
}

export type GeometryOutcome =
  | { readonly kind: "geometry"; readonly geometry: Geometry }
  | { readonly kind: "impossible"; readonly key: keyof ArrayShape; readonly expected: string };

/** Bytes of one stripe's data strips. */
export function stripeBytesOf(members: number, parity: Parity, stripBytes: number): number {
  return (members - (parity === "one" ? 1 : 0)) * stripBytes;
}

/** The largest multiple of `stepBytes` that is not above `wantedBytes`, but at least one. */
export function fitBytes(wantedBytes: number, stepBytes: number): number {
  return Math.max(1, Math.floor(wantedBytes / stepBytes)) * stepBytes;
}

export function planGeometry(shape: ArrayShape): GeometryOutcome {
  const { members, parity, stripBytes, ringBytes, cacheBytes } = shape;
  const parityStrips = parity === "one" ? 1 : 0;
  const membersMin = 1 + parityStrips;
  if (!Number.isInteger(members) || members < membersMin || members > MEMBERS_MAX)
    return { kind: "impossible", key: "members", expected: `${membersMin} to ${MEMBERS_MAX} members` };
  const stripMax = 4 * 1024 * 1024;
  if (!(stripBytes >= DISK_BLOCK_BYTES && stripBytes <= stripMax && stripBytes % DISK_BLOCK_BYTES === 0))
    return { kind: "impossible", key: "stripBytes", expected: "a multiple of 4 KiB, 4 KiB to 4 MiB" };
  const stripeBytes = stripeBytesOf(members, parity, stripBytes);
  if (!(ringBytes >= stripeBytes && ringBytes % stripeBytes === 0))
    return {
      kind: "impossible",
      key: "ringBytes",
      expected: `a multiple of the stripe (${stripeBytes} bytes)`,
    };
  if (!(Number.isSafeInteger(cacheBytes) && cacheBytes >= ringBytes && cacheBytes % ringBytes === 0))
    return { kind: "impossible", key: "cacheBytes", expected: `a multiple of the ring (${ringBytes} bytes)` };
  const slots = cacheBytes / stripeBytes;
  const iovecs = Math.floor((CACHE_IOVECS_BYTES - MEMBER_TABLE_BYTES) / IOVEC_BYTES / members);
  const stripesMax = Math.min(Math.floor(PARITY_BYTES / stripBytes), iovecs, IOVECS_A_CALL_MAX);
  return {
    kind: "geometry",
    geometry: {
      members,
      parity,
      stripBytes,
      cacheBytes,
      ringBytes,
      parityStrips,
      dataStrips: members - parityStrips,
      stripeBytes,
      slots,
      memberBytes: MEMBER_DATA + slots * stripBytes,
      stripesMax,
    },
  };
}
