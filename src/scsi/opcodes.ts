/** @module Operation codes (SPC-5, SSC-5, SMC-3). One code may mean two things: 2Bh is LOCATE(10) on a tape and
 *  POSITION TO ELEMENT on a changer. */

export const TEST_UNIT_READY = 0x00;
export const REWIND = 0x01;
export const REQUEST_SENSE = 0x03;
export const READ_BLOCK_LIMITS = 0x05;
export const INITIALIZE_ELEMENT_STATUS = 0x07;
export const READ_6 = 0x08;
export const WRITE_6 = 0x0a;
export const WRITE_FILEMARKS_6 = 0x10;
export const SPACE_6 = 0x11;
export const INQUIRY = 0x12;
export const VERIFY_6 = 0x13;
export const MODE_SELECT_6 = 0x15;
export const RESERVE_6 = 0x16;
export const RELEASE_6 = 0x17;
export const ERASE_6 = 0x19;
export const MODE_SENSE_6 = 0x1a;
export const LOAD_UNLOAD = 0x1b;
export const PREVENT_ALLOW = 0x1e;
export const LOCATE_10 = 0x2b;
export const POSITION_TO_ELEMENT = 0x2b;
export const READ_POSITION = 0x34;
export const INITIALIZE_ELEMENT_STATUS_WITH_RANGE = 0x37;
export const REPORT_DENSITY_SUPPORT = 0x44;
export const LOG_SELECT = 0x4c;
export const LOG_SENSE = 0x4d;
export const MODE_SELECT_10 = 0x55;
export const RESERVE_10 = 0x56;
export const RELEASE_10 = 0x57;
export const MODE_SENSE_10 = 0x5a;
export const PERSISTENT_RESERVE_IN = 0x5e;
export const PERSISTENT_RESERVE_OUT = 0x5f;
export const READ_ATTRIBUTE = 0x8c;
export const SPACE_16 = 0x91;
export const LOCATE_16 = 0x92;
export const REPORT_LUNS = 0xa0;
export const MAINTENANCE_IN = 0xa3;
/** Service action of MAINTENANCE IN. */
export const REPORT_SUPPORTED_OPERATION_CODES = 0x0c;
export const MOVE_MEDIUM = 0xa5;
export const EXCHANGE_MEDIUM = 0xa6;
export const READ_ELEMENT_STATUS = 0xb8;

/** Length of a CDB by its group code (SPC-5); 0 where the group says nothing. */
export function cdbBytes(opcode: number): number {
  switch (opcode >> 5) {
    case 0:
      return 6;
    case 1:
    case 2:
      return 10;
    case 4:
      return 16;
    case 5:
      return 12;
    default:
      return 0;
  }
}
