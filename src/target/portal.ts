/** @module The listening socket and what it accepts: plain TCP through libc, never through the event loop.
 *  A portal is opened before anything else starts, so that a taken port stops the start with words. */
import { checked, EADDRINUSE, errorText, libc } from "../base/ffi.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from "../base/socket.ts";

export interface Portal {
  readonly fd: number;
  /** As bound: the port is the real one where 0 was asked for. */
  readonly address: string;
  readonly port: number;
}

export type PortalOutcome =
  | { readonly kind: "listening"; readonly portal: Portal }
  | { readonly kind: "failed"; readonly cause: string };

const SOCKADDR_BYTES = 28;
const BACKLOG = 64;

function setOption(fd: number, level: number, name: number, value: number): void {
  libc.setsockopt(fd, level, name, Int32Array.of(value), 4);
}

/** sockaddr_in or sockaddr_in6 of an address literal; null where it is none. */
export function socketAddress(host: string, port: number): Uint8Array | null {
  const literal = host === "localhost" ? "127.0.0.1" : host === "" || host === "*" ? "0.0.0.0" : host;
  const sockaddr = new Uint8Array(SOCKADDR_BYTES);
  sockaddr[2] = port >>> 8;
  sockaddr[3] = port;
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(literal);
  if (four) {
    const parts = four.slice(1).map(Number);
    if (parts.some((part) => part > 255)) return null;
    sockaddr[0] = AF_INET;
    sockaddr.set(parts, 4);
    return sockaddr.subarray(0, 16);
  }
  const six = parseIPv6(literal.replace(/^\[(.*)\]$/, "$1"));
  if (six === null) return null;
  sockaddr[0] = AF_INET6;
  sockaddr.set(six, 8);
  return sockaddr;
}

function parseIPv6(text: string): number[] | null {
  const halves = text.split("::");
  if (halves.length > 2 || !text.includes(":")) return null;
  const words = halves.map((half) => (half === "" ? [] : half.split(":")));
  const given = words.flat();
  if (given.some((word) => !/^[0-9a-fA-F]{1,4}$/.test(word))) return null;
  const missing = 8 - given.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const full = [
    ...(words[0] ?? []),
    ...(halves.length === 2 ? Array(missing).fill("0") : []),
    ...(words[1] ?? []),
  ];
  return full.flatMap((word) => {
    const value = Number.parseInt(word, 16);
    return [value >>> 8, value & 255];
  });
}

/** "192.0.2.1:3260" or "[2001:db8::1]:3260". */
export function addressText(sockaddr: Uint8Array): { host: string; port: number } {
  const port = ((sockaddr[2] ?? 0) << 8) | (sockaddr[3] ?? 0);
  if (sockaddr[0] === AF_INET6) {
    const words: string[] = [];
    for (let at = 8; at < 24; at += 2)
      words.push((((sockaddr[at] ?? 0) << 8) | (sockaddr[at + 1] ?? 0)).toString(16));
    return { host: `[${words.join(":")}]`, port };
  }
  return { host: Array.from(sockaddr.subarray(4, 8)).join("."), port };
}

/** Binds and listens; never falls back to another address or port. */
export function openPortal(host: string, port: number): PortalOutcome {
  const where = `${host}:${port}`;
  const fail = (cause: string): PortalOutcome => ({
    kind: "failed",
    cause: `iSCSI portal ${where}: ${cause}`,
  });
  const sockaddr = port >= 0 && port < 65536 ? socketAddress(host, port) : null;
  if (sockaddr === null)
    return fail("not an IP address and port to listen on (expected for instance 127.0.0.1:3260)");
  const fd = checked(libc.socket(sockaddr[0] ?? 0, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd < 0) return fail(errorText(fd));
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  let result = checked(libc.bind(fd, sockaddr, sockaddr.length));
  if (result === 0) result = checked(libc.listen(fd, BACKLOG));
  if (result < 0) {
    libc.close(fd);
    return fail(result === -EADDRINUSE ? "the port is taken by another program" : errorText(result));
  }
  const bound = localAddress(fd);
  return { kind: "listening", portal: { fd, address: bound.host, port: bound.port } };
}

/** This end's address of a socket: what a discovery over it must answer. */
export function localAddress(fd: number): { host: string; port: number } {
  const sockaddr = new Uint8Array(SOCKADDR_BYTES);
  libc.getsockname(fd, sockaddr, Uint32Array.of(SOCKADDR_BYTES));
  return addressText(sockaddr);
}

/** Takes the next connection: a file descriptor, or -errno. `from` is filled with the peer's address. */
export function acceptConnection(portal: Portal, from: Uint8Array): number {
  const fd = checked(
    libc.accept4(portal.fd, from, Uint32Array.of(from.length), SOCK_NONBLOCK | SOCK_CLOEXEC),
  );
  if (fd < 0) return fd;
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // A host that vanished without a word is found out by the kernel: an idle initiator need not answer NOPs.
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  return fd;
}

export const PEER_ADDRESS_BYTES = SOCKADDR_BYTES;
