/** xxHash3, 64 bits, seed 0, default secret: what seals every journal entry and cartridge record.
 *  Written after the published algorithm description; held against Bun.hash.xxHash3 by the tests. */

const SECRET: usize = memory.data<u8>([
  0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
  0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
  0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8,
  0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea,
  0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb, 0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b,
  0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
]);
const SECRET_BYTES: usize = 192;

const P32_1: u64 = 0x9e3779b1;
const P32_2: u64 = 0x85ebca77;
const P32_3: u64 = 0xc2b2ae3d;
const P64_1: u64 = 0x9e3779b185ebca87;
const P64_2: u64 = 0xc2b2ae3d27d4eb4f;
const P64_3: u64 = 0x165667b19e3779f9;
const P64_4: u64 = 0x85ebca77c2b2ae63;
const P64_5: u64 = 0x27d4eb2f165667c5;
const MIX: u64 = 0x9fb21c651e98df25;

// @ts-ignore: decorator
@inline function u64At(p: usize): u64 {
  return load<u64>(p);
}

function fold(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff;
  const aHigh = a >> 32;
  const bLow = b & 0xffffffff;
  const bHigh = b >> 32;
  const low = aLow * bLow;
  const mid1 = aHigh * bLow;
  const mid2 = aLow * bHigh;
  const cross = (low >> 32) + (mid1 & 0xffffffff) + mid2;
  const upper = (mid1 >> 32) + (cross >> 32) + aHigh * bHigh;
  const lower = (cross << 32) | (low & 0xffffffff);
  return upper ^ lower;
}

function avalanche(h: u64): u64 {
  h ^= h >> 37;
  h *= 0x165667919e3779f9;
  return h ^ (h >> 32);
}

function avalanche64(h: u64): u64 {
  h ^= h >> 33;
  h *= P64_2;
  h ^= h >> 29;
  h *= P64_3;
  return h ^ (h >> 32);
}

// @ts-ignore: decorator
@inline function mix16(p: usize, secret: usize): u64 {
  return fold(u64At(p) ^ u64At(secret), u64At(p + 8) ^ u64At(secret + 8));
}

function short16(p: usize, length: usize): u64 {
  if (length > 8) {
    const low = u64At(p) ^ (u64At(SECRET + 24) ^ u64At(SECRET + 32));
    const high = u64At(p + length - 8) ^ (u64At(SECRET + 40) ^ u64At(SECRET + 48));
    return avalanche((length as u64) + bswap<u64>(low) + high + fold(low, high));
  }
  if (length >= 4) {
    const first = load<u32>(p) as u64;
    const last = load<u32>(p + length - 4) as u64;
    let h = (last + (first << 32)) ^ (u64At(SECRET + 8) ^ u64At(SECRET + 16));
    h ^= rotl<u64>(h, 49) ^ rotl<u64>(h, 24);
    h *= MIX;
    h ^= (h >> 35) + (length as u64);
    h *= MIX;
    return h ^ (h >> 28);
  }
  if (length > 0) {
    const combined =
      ((load<u8>(p) as u64) << 16) | ((load<u8>(p + (length >> 1)) as u64) << 24) | (load<u8>(p + length - 1) as u64) | ((length as u64) << 8);
    return avalanche64(combined ^ ((load<u32>(SECRET) ^ load<u32>(SECRET + 4)) as u64));
  }
  return avalanche64(u64At(SECRET + 56) ^ u64At(SECRET + 64));
}

function short240(p: usize, length: usize): u64 {
  let h: u64 = (length as u64) * P64_1;
  if (length <= 128) {
    if (length > 32) {
      if (length > 64) {
        if (length > 96) {
          h += mix16(p + 48, SECRET + 96);
          h += mix16(p + length - 64, SECRET + 112);
        }
        h += mix16(p + 32, SECRET + 64);
        h += mix16(p + length - 48, SECRET + 80);
      }
      h += mix16(p + 16, SECRET + 32);
      h += mix16(p + length - 32, SECRET + 48);
    }
    h += mix16(p, SECRET);
    h += mix16(p + length - 16, SECRET + 16);
    return avalanche(h);
  }
  const rounds = length >> 4;
  for (let i: usize = 0; i < 8; i++) h += mix16(p + (i << 4), SECRET + (i << 4));
  h = avalanche(h);
  for (let i: usize = 8; i < rounds; i++) h += mix16(p + (i << 4), SECRET + ((i - 8) << 4) + 3);
  h += mix16(p + length - 16, SECRET + 136 - 17);
  return avalanche(h);
}

// @ts-ignore: decorator
@inline function lane(acc: v128, p: usize, secret: usize): v128 {
  const data = v128.load(p);
  const key = v128.xor(data, v128.load(secret));
  const product = i64x2.extmul_low_i32x4_u(v128.shuffle<i32>(key, key, 0, 2, 0, 2), v128.shuffle<i32>(key, key, 1, 3, 1, 3));
  return i64x2.add(acc, i64x2.add(v128.shuffle<i64>(data, data, 1, 0), product));
}

// @ts-ignore: decorator
@inline function scramble(acc: v128, secret: usize): v128 {
  const mixed = v128.xor(v128.xor(acc, i64x2.shr_u(acc, 47)), v128.load(secret));
  return i64x2.mul(mixed, i64x2.splat(P32_1 as i64));
}

// @ts-ignore: decorator
@inline function merge(acc: v128, secret: usize): u64 {
  return fold((i64x2.extract_lane(acc, 0) as u64) ^ u64At(secret), (i64x2.extract_lane(acc, 1) as u64) ^ u64At(secret + 8));
}

function long(p: usize, length: usize): u64 {
  let a = i64x2(P32_3 as i64, P64_1 as i64);
  let b = i64x2(P64_2 as i64, P64_3 as i64);
  let c = i64x2(P64_4 as i64, P32_2 as i64);
  let d = i64x2(P64_5 as i64, P32_1 as i64);
  const blocks = (length - 1) >> 10;
  let q = p;
  for (let n: usize = 0; n < blocks; n++) {
    for (let s: usize = 0; s < 128; s += 8) {
      a = lane(a, q, SECRET + s);
      b = lane(b, q + 16, SECRET + s + 16);
      c = lane(c, q + 32, SECRET + s + 32);
      d = lane(d, q + 48, SECRET + s + 48);
      q += 64;
    }
    const secret = SECRET + SECRET_BYTES - 64;
    a = scramble(a, secret);
    b = scramble(b, secret + 16);
    c = scramble(c, secret + 32);
    d = scramble(d, secret + 48);
  }
  const stripes = (length - 1 - (blocks << 10)) >> 6;
  for (let n: usize = 0; n < stripes; n++) {
    const secret = SECRET + (n << 3);
    a = lane(a, q, secret);
    b = lane(b, q + 16, secret + 16);
    c = lane(c, q + 32, secret + 32);
    d = lane(d, q + 48, secret + 48);
    q += 64;
  }
  const last = p + length - 64;
  const secret = SECRET + SECRET_BYTES - 64 - 7;
  a = lane(a, last, secret);
  b = lane(b, last + 16, secret + 16);
  c = lane(c, last + 32, secret + 32);
  d = lane(d, last + 48, secret + 48);
  const end = SECRET + 11;
  return avalanche((length as u64) * P64_1 + merge(a, end) + merge(b, end + 16) + merge(c, end + 32) + merge(d, end + 48));
}

export function xxh3(p: usize, length: usize): u64 {
  if (length <= 16) return short16(p, length);
  if (length <= 240) return short240(p, length);
  return long(p, length);
}
