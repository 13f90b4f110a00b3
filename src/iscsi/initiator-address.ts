/** @module Host names to socket addresses through the C library, blocking, since the initiator's thread may block and has
 *  no event loop to wait on. */
import { dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { SOCK_STREAM } from "../base/socket.ts";

const { symbols: c } = dlopen("libc.so.6", {
  getaddrinfo: { args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  freeaddrinfo: { args: [FFIType.u64_fast], returns: FFIType.void },
});

/** `struct addrinfo` on 64-bit Linux. */
const ADDRINFO_BYTES = 48;
const AT_SOCKTYPE = 8;
const AT_FAMILY = 4;
const AT_ADDRESS_BYTES = 16;
const AT_ADDRESS = 24;

export interface SocketAddress {
  readonly family: number;
  /** `struct sockaddr_in` or `sockaddr_in6`. */
  readonly bytes: Uint8Array;
}

/** The first address that a name or a literal stands for; null: none. */
export function resolveAddress(host: string, port: number): SocketAddress | null {
  const encoder = new TextEncoder();
  const name = encoder.encode(`${host.replace(/^\[(.*)\]$/, "$1")}\0`);
  const service = encoder.encode(`${port}\0`);
  const hints = new DataView(new ArrayBuffer(ADDRINFO_BYTES));
  hints.setInt32(AT_SOCKTYPE, SOCK_STREAM, true);
  const result = new BigUint64Array(1);
  if (c.getaddrinfo(ptr(name), ptr(service), ptr(new Uint8Array(hints.buffer)), ptr(result)) !== 0)
    return null;
  const first = Number(result[0]) as Pointer;
  const family = read.i32(first, AT_FAMILY);
  const length = read.u32(first, AT_ADDRESS_BYTES);
  const address = read.ptr(first, AT_ADDRESS) as Pointer;
  const bytes = Uint8Array.from({ length }, (_, index) => read.u8(address, index));
  c.freeaddrinfo(first);
  return { family, bytes };
}
