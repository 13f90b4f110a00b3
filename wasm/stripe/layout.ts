/** @module How strips lie on the members of a cache array: read by both compilers (AssemblyScript and Bun).
 *
 *  Stripe slot s holds journal bytes [s x stripeBytes, (s + 1) x stripeBytes) of the lap. On every member its strip
 *  lies at MEMBER_DATA + s x stripBytes. The parity strip rotates backwards, data strips follow it (left-symmetric):
 *
 *      member      0    1    2    3        rotation = s mod members
 *      slot 0      d0   d1   d2   P        0
 *      slot 1      d1   d2   P    d0       1
 *      slot 2      d2   P    d0   d1       2
 *      slot 3      P    d0   d1   d2       3
 *
 *  Without parity, data strip d lies on member d.
 */

export const MEMBERS_MAX: i32 = 16;
/** Where journal bytes begin on a member. */
export const MEMBER_DATA: i32 = 1048576;
export const IOVEC_BYTES: i32 = 16;
/** Linux takes so many iovecs a call. */
export const IOVECS_A_CALL_MAX: i32 = 1024;

// --- the last 4 KiB of the cache Worker's scratch area: what readers in other threads must know of the members ---
// One 64-byte line a member; one writer: the cache Worker. J and slots are f64.
/** From the area's start (CACHE_IOVECS + CACHE_IOVECS_BYTES - MEMBER_TABLE_BYTES). */
export const MEMBER_TABLE_BYTES: i32 = 4096;
export const MEMBER_LINE_BYTES: i32 = 64;
/** Strips of the journal from this J on ... */
export const MEMBER_GOOD_FROM: i32 = 0;
/** ... up to this J are right on the member; */
export const MEMBER_GOOD_BEFORE: i32 = 8;
/** ... and so are those of all slots below this one (the rebuild's progress), whatever their J. */
export const MEMBER_REBUILT_SLOTS: i32 = 16;
/** Counts replacements: a reader that opened an earlier disk must not use it any more (i32). */
export const MEMBER_REPLACEMENTS: i32 = 24;

/** The member that holds the parity strip; `rotation` is slot mod members. */
export function parityMember(rotation: i32, members: i32): i32 {
  return members - 1 - rotation;
}

/** The member that holds data strip `strip` where `parity` is the parity member (-1: no parity). */
export function dataMember(strip: i32, parity: i32, members: i32): i32 {
  const member = parity + 1 + strip;
  return member >= members ? member - members : member;
}
