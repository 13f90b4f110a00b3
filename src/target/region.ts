/** @module Where everything lies in one connection's part of the target's memory (bytes from the part's start).
 *
 *         0  header A at 16, header B at 76, each with its digest behind it and room for 7 bytes of padding and data
 *            digest before it, since one recvmsg() takes the rest of a data segment, those and the next header
 *       128  msghdr and iovecs of sendmsg(), then those of recvmsg()
 *       384  what goes out after a data segment: zeros for padding, data digest
 *      1024  additional header segments
 *      2048  stage: headers and short PDUs on their way out
 *     10240  data segment of a PDU that is not a command's data: text, ping
 *            control: whole PDUs of this kind on their way out
 */
export const HEADER_A = 16;
export const HEADER_B = 76;
export const OUT_MESSAGE = 128;
export const OUT_IOVECS = 192;
export const IN_MESSAGE = 256;
export const IN_IOVECS = 320;
/** Padding ends here, and the data digest begins. */
export const TAIL = 388;
export const TAIL_BYTES = 8;
export const AHS = 1024;
export const STAGE = 2048;
export const STAGE_BYTES = 8192;
export const CONTROL_IN = 10240;
/** The largest text or ping taken in; what exceeds it is dropped. */
export const CONTROL_BYTES = 65536;
export const CONTROL_OUT = CONTROL_IN + CONTROL_BYTES;
export const CONTROL_PDU_BYTES_MAX = CONTROL_BYTES + 48;
export const CONTROL_OUT_BYTES = 3 * CONTROL_PDU_BYTES_MAX;
/** Whole pages. */
export const REGION_BYTES = Math.ceil((CONTROL_OUT + CONTROL_OUT_BYTES) / 4096) * 4096;

export const IOVEC_BYTES = 16;

/** A native address or size as the 64-bit little-endian word that the kernel reads. */
export function setNative(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x100000000), true);
}

/** struct msghdr with `count` iovecs; the rest stays zero. */
export function setMessage(view: DataView, at: number, iovecs: number, count: number): void {
  setNative(view, at + 16, iovecs);
  setNative(view, at + 24, count);
}
