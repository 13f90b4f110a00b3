/** @module The CDBs that a backup server sends to a tape drive and a changer (SPC-5, SSC-5, SMC-3).
 *  Each function fills the buffer that it is given and returns it, so that nothing is allocated for a block. */

function clear(cdb: Uint8Array, operationCode: number): Uint8Array {
  cdb.fill(0);
  cdb[0] = operationCode;
  return cdb;
}

function put16(cdb: Uint8Array, at: number, value: number): void {
  cdb[at] = value >>> 8;
  cdb[at + 1] = value;
}

function put24(cdb: Uint8Array, at: number, value: number): void {
  cdb[at] = value >>> 16;
  put16(cdb, at + 1, value & 0xffff);
}

function put32(cdb: Uint8Array, at: number, value: number): void {
  put16(cdb, at, value >>> 16);
  put16(cdb, at + 2, value & 0xffff);
}

/** TEST UNIT READY, REWIND and other 6-byte CDBs without parameters. */
export function plain6(cdb: Uint8Array, operationCode: number): Uint8Array {
  return clear(cdb, operationCode);
}

/** REQUEST SENSE (03h), INQUIRY (12h): allocation length in bytes 3-4 or byte 4. */
export function requestSense(cdb: Uint8Array, allocationBytes: number): Uint8Array {
  clear(cdb, 0x03)[4] = allocationBytes;
  return cdb;
}

/** INQUIRY; `page`: a vital product data page, or -1 for standard data. */
export function inquiry(cdb: Uint8Array, page: number, allocationBytes: number): Uint8Array {
  clear(cdb, 0x12);
  if (page >= 0) {
    cdb[1] = 1;
    cdb[2] = page;
  }
  put16(cdb, 3, allocationBytes);
  return cdb;
}

/** WRITE(6) (0Ah) or READ(6) (08h) of one block in variable mode. `sili`: no word about shorter blocks (reads). */
export function transfer6(
  cdb: Uint8Array,
  operationCode: 0x08 | 0x0a,
  bytes: number,
  sili = false,
): Uint8Array {
  clear(cdb, operationCode);
  if (sili) cdb[1] = 2;
  put24(cdb, 2, bytes);
  return cdb;
}

/** WRITE(6) or READ(6) of `blocks` blocks in fixed mode. */
export function fixed6(cdb: Uint8Array, operationCode: 0x08 | 0x0a, blocks: number): Uint8Array {
  clear(cdb, operationCode);
  cdb[1] = 1;
  put24(cdb, 2, blocks);
  return cdb;
}

/** WRITE FILEMARKS(6). Not immediate: GOOD only when all before it is on the medium. */
export function writeFilemarks6(cdb: Uint8Array, count: number, immediate: boolean): Uint8Array {
  clear(cdb, 0x10);
  if (immediate) cdb[1] = 1;
  put24(cdb, 2, count);
  return cdb;
}

/** SPACE(6): code 0 blocks, 1 filemarks, 3 end of data; count signed. */
export function space6(cdb: Uint8Array, code: number, count: number): Uint8Array {
  clear(cdb, 0x11);
  cdb[1] = code;
  put24(cdb, 2, count & 0xffffff);
  return cdb;
}

/** LOCATE(10). */
export function locate10(cdb: Uint8Array, block: number): Uint8Array {
  clear(cdb, 0x2b);
  put32(cdb, 3, block);
  return cdb;
}

/** LOCATE(16): destination type 0 block, 1 file, 3 end of data. */
export function locate16(cdb: Uint8Array, destinationType: number, destination: number): Uint8Array {
  clear(cdb, 0x92);
  cdb[1] = destinationType << 3;
  put32(cdb, 4, Math.floor(destination / 2 ** 32));
  put32(cdb, 8, destination >>> 0);
  return cdb;
}

/** READ POSITION, short form. */
export function readPosition(cdb: Uint8Array): Uint8Array {
  return clear(cdb, 0x34);
}

/** LOAD UNLOAD. */
export function loadUnload(cdb: Uint8Array, load: boolean): Uint8Array {
  clear(cdb, 0x1b);
  if (load) cdb[4] = 1;
  return cdb;
}

/** MODE SENSE(6) of a page, without block descriptors where `dbd`. */
export function modeSense6(cdb: Uint8Array, page: number, dbd: boolean, allocationBytes: number): Uint8Array {
  clear(cdb, 0x1a);
  if (dbd) cdb[1] = 8;
  cdb[2] = page;
  cdb[4] = allocationBytes;
  return cdb;
}

/** MODE SELECT(6). */
export function modeSelect6(cdb: Uint8Array, parameterBytes: number): Uint8Array {
  clear(cdb, 0x15);
  cdb[1] = 0x10;
  cdb[4] = parameterBytes;
  return cdb;
}

/** READ ELEMENT STATUS with volume tags; `type` 0: all. */
export function readElementStatus(
  cdb: Uint8Array,
  type: number,
  first: number,
  count: number,
  allocationBytes: number,
): Uint8Array {
  clear(cdb, 0xb8);
  cdb[1] = 0x10 | type;
  put16(cdb, 2, first);
  put16(cdb, 4, count);
  put24(cdb, 7, allocationBytes);
  return cdb;
}

/** MOVE MEDIUM. */
export function moveMedium(
  cdb: Uint8Array,
  transport: number,
  source: number,
  destination: number,
): Uint8Array {
  clear(cdb, 0xa5);
  put16(cdb, 2, transport);
  put16(cdb, 4, source);
  put16(cdb, 6, destination);
  return cdb;
}
