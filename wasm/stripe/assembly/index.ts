/** XOR parity over strips in shared memory, and the iovecs that carry whole stripes to the members.
 *  Memory offsets are u32 (i32 at the border), native addresses f64. Lengths need not be multiples of anything:
 *  16-byte vectors first, single bytes at the end. */
import { IOVEC_BYTES, parityMember, dataMember } from "../layout";

/** target = XOR of `count` strips of `bytes` each at source, source + stride, ... */
export function xorStrips(source: u32, count: i32, strideBytes: u32, bytes: u32, target: u32): void {
  const from = source as usize;
  const to = target as usize;
  const stride = strideBytes as usize;
  const end = from + stride * (count as usize);
  const length = bytes as usize;
  let at: usize = 0;
  for (; at + 64 <= length; at += 64) {
    let strip = from + at;
    let a = v128.load(strip);
    let b = v128.load(strip, 16);
    let c = v128.load(strip, 32);
    let d = v128.load(strip, 48);
    for (strip += stride; strip < end; strip += stride) {
      a = v128.xor(a, v128.load(strip));
      b = v128.xor(b, v128.load(strip, 16));
      c = v128.xor(c, v128.load(strip, 32));
      d = v128.xor(d, v128.load(strip, 48));
    }
    v128.store(to + at, a);
    v128.store(to + at, b, 16);
    v128.store(to + at, c, 32);
    v128.store(to + at, d, 48);
  }
  for (; at < length; at++) {
    let byte: u8 = 0;
    for (let strip = from + at; strip < end; strip += stride) byte ^= load<u8>(strip);
    store<u8>(to + at, byte);
  }
}

/** Makes `stripes` whole stripes, contiguous at memory offset `ring`, ready for one pwritev a member: parity strips
 *  go to `parityArea` one after the other, member m's iovecs to iovecs + m x stripes x 16.
 *  `rotation`: first slot mod members; `withParity`: 1 or 0; `out`: bit m set: member m takes nothing (the parity
 *  strips it would hold are not computed); `base`: native address of the memory. */
export function prepare(
  ring: u32, stripes: i32, rotation: i32, members: i32, stripBytes: u32, withParity: i32, out: i32, parityArea: u32, iovecs: u32, base: f64,
): void {
  const dataStrips = members - withParity;
  const native = base as u64;
  const perMember = (stripes * IOVEC_BYTES) as usize;
  let strip = ring;
  let turn = rotation;
  for (let s = 0; s < stripes; s++) {
    const column = (iovecs as usize) + ((s * IOVEC_BYTES) as usize);
    let parity = -1;
    if (withParity != 0) {
      parity = parityMember(turn, members);
      const place = parityArea + (s as u32) * stripBytes;
      if ((out & (1 << parity)) == 0) xorStrips(strip, dataStrips, stripBytes, stripBytes, place);
      const iovec = column + perMember * (parity as usize);
      store<u64>(iovec, native + (place as u64));
      store<u64>(iovec, stripBytes as u64, 8);
    }
    for (let d = 0; d < dataStrips; d++) {
      const iovec = column + perMember * (dataMember(d, parity, members) as usize);
      store<u64>(iovec, native + (strip as u64));
      store<u64>(iovec, stripBytes as u64, 8);
      strip += stripBytes;
    }
    turn = turn + 1 == members ? 0 : turn + 1;
  }
}
