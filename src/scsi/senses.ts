/** @module Sense data that every logical unit gives, by name (SPC-5 §4.4). */
import type { Sense } from "./sense.ts";

export const KEY_NO_SENSE = 0x0;
export const KEY_RECOVERED_ERROR = 0x1;
export const KEY_NOT_READY = 0x2;
export const KEY_MEDIUM_ERROR = 0x3;
export const KEY_HARDWARE_ERROR = 0x4;
export const KEY_ILLEGAL_REQUEST = 0x5;
export const KEY_UNIT_ATTENTION = 0x6;
export const KEY_DATA_PROTECT = 0x7;
export const KEY_BLANK_CHECK = 0x8;
export const KEY_ABORTED_COMMAND = 0xb;
export const KEY_VOLUME_OVERFLOW = 0xd;

export const noSense: Sense = { key: KEY_NO_SENSE, asc: 0, ascq: 0 };

export const mediumNotPresent: Sense = { key: KEY_NOT_READY, asc: 0x3a, ascq: 0x00 };
/** A cartridge is there, LOAD is needed. */
export const initializingCommandRequired: Sense = { key: KEY_NOT_READY, asc: 0x04, ascq: 0x02 };
export const becomingReady: Sense = { key: KEY_NOT_READY, asc: 0x04, ascq: 0x01 };
export const operationInProgress: Sense = { key: KEY_NOT_READY, asc: 0x04, ascq: 0x07 };
/** Manual intervention required. */
export const interventionRequired: Sense = { key: KEY_NOT_READY, asc: 0x04, ascq: 0x03 };

export const writeProtected: Sense = { key: KEY_DATA_PROTECT, asc: 0x27, ascq: 0x00 };
export const mediumRemovalPrevented: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x53, ascq: 0x02 };
export const savingNotSupported: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x39, ascq: 0x00 };
export const parameterListLengthError: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x1a, ascq: 0x00 };
export const logicalUnitNotSupported: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x25, ascq: 0x00 };
/** RELEASE with another type than the reservation has. */
export const invalidRelease: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x26, ascq: 0x04 };
export const insufficientRegistrationResources: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x55, ascq: 0x04 };
export const internalTargetFailure: Sense = { key: KEY_HARDWARE_ERROR, asc: 0x44, ascq: 0x00 };

export const invalidOpcode: Sense = {
  key: KEY_ILLEGAL_REQUEST,
  asc: 0x20,
  ascq: 0x00,
  fieldPointer: { inCdb: true, byte: 0 },
};

/** 24h/00h with the byte, and the bit where one bit is wrong. */
export function invalidFieldInCdb(byte: number, bit?: number): Sense {
  return {
    key: KEY_ILLEGAL_REQUEST,
    asc: 0x24,
    ascq: 0x00,
    fieldPointer: bit === undefined ? { inCdb: true, byte } : { inCdb: true, byte, bit },
  };
}

/** 26h/00h: the byte counts from the start of the parameter list. */
export function invalidFieldInParameterList(byte: number, bit?: number): Sense {
  return {
    key: KEY_ILLEGAL_REQUEST,
    asc: 0x26,
    ascq: 0x00,
    fieldPointer: bit === undefined ? { inCdb: false, byte } : { inCdb: false, byte, bit },
  };
}

export function unitAttention(asc: number, ascq: number): Sense {
  return { key: KEY_UNIT_ATTENTION, asc, ascq };
}

export const powerOnAttention = unitAttention(0x29, 0x00);
export const busResetAttention = unitAttention(0x29, 0x02);
export const deviceResetAttention = unitAttention(0x29, 0x03);
export const mediumChangedAttention = unitAttention(0x28, 0x00);
export const importExportAttention = unitAttention(0x28, 0x01);
export const modeParametersChangedAttention = unitAttention(0x2a, 0x01);
export const reservationsPreemptedAttention = unitAttention(0x2a, 0x03);
export const reservationsReleasedAttention = unitAttention(0x2a, 0x04);
export const registrationsPreemptedAttention = unitAttention(0x2a, 0x05);

// --- changer (SMC-3) ---
export const invalidElementAddress: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x21, ascq: 0x01 };
export const sourceElementEmpty: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x3b, ascq: 0x0e };
export const destinationElementFull: Sense = { key: KEY_ILLEGAL_REQUEST, asc: 0x3b, ascq: 0x0d };
