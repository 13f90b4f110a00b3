/** @module Log pages of a tape drive (SSC-5): 02 03 0C 11 17 2E 31. Sizes are MiB on the pages that hosts read them from. */
import { MIB } from "../../base/units.ts";
import {
  binary,
  counter,
  LOG_DEVICE_STATUS,
  LOG_READ_ERRORS,
  LOG_SEQUENTIAL_ACCESS,
  LOG_TAPE_ALERT,
  LOG_TAPE_CAPACITY,
  LOG_VOLUME_STATISTICS,
  LOG_WRITE_ERRORS,
  type LogPage,
  type LogParameter,
  text,
} from "./log.ts";
import type { TapeFigures, TapePort } from "./ports.ts";

const TAPE_ALERT_FLAGS = 64;

const noFigures: TapeFigures = {
  writtenBytes: 0,
  readBytes: 0,
  mediumWrittenBytes: 0,
  mediumReadBytes: 0,
  writeErrors: 0,
  readErrors: 0,
  loads: 0,
};

export function tapeLogPages(port: TapePort, isCompressing: () => boolean): readonly LogPage[] {
  const figures = (): TapeFigures => port.figures ?? noFigures;
  return [
    {
      code: LOG_WRITE_ERRORS,
      parameters: () => errorCounters(figures().writtenBytes, figures().writeErrors),
    },
    { code: LOG_READ_ERRORS, parameters: () => errorCounters(figures().readBytes, figures().readErrors) },
    {
      code: LOG_SEQUENTIAL_ACCESS,
      parameters: () => [
        counter(0x0000, 8, figures().writtenBytes),
        counter(0x0001, 8, figures().mediumWrittenBytes),
        counter(0x0002, 8, figures().mediumReadBytes),
        counter(0x0003, 8, figures().readBytes),
        counter(0x0100, 4, 0), // no cleaning wanted
      ],
    },
    {
      code: LOG_DEVICE_STATUS,
      parameters: () => [
        binary(0x0000, veryHighFrequencyData(port, isCompressing())),
        counter(0x0001, 2, 100), // polling delay in ms
      ],
    },
    { code: LOG_VOLUME_STATISTICS, parameters: () => volumeStatistics(port, figures()) },
    {
      code: LOG_TAPE_ALERT,
      parameters: () => {
        const set = new Set(port.takeTapeAlerts());
        const flags: LogParameter[] = [];
        for (let flag = 1; flag <= TAPE_ALERT_FLAGS; flag++)
          flags.push(counter(flag, 1, set.has(flag) ? 1 : 0));
        return flags;
      },
    },
    {
      code: LOG_TAPE_CAPACITY,
      parameters: () => {
        const { loaded, remainingBytes, capacityBytes } = port.medium;
        return [
          counter(0x0001, 4, loaded ? Math.floor(remainingBytes / MIB) : 0),
          counter(0x0002, 4, 0),
          counter(0x0003, 4, loaded ? Math.floor(capacityBytes / MIB) : 0),
          counter(0x0004, 4, 0),
        ];
      },
    },
  ];
}

/** SPC-5, error counter pages: corrected without and with delay, total, times, total corrected, bytes, total uncorrected. */
function errorCounters(bytes: number, uncorrected: number): readonly LogParameter[] {
  return [
    counter(0x0000, 4, 0),
    counter(0x0001, 4, 0),
    counter(0x0002, 4, uncorrected),
    counter(0x0003, 4, 0),
    counter(0x0004, 4, 0),
    counter(0x0005, 8, bytes),
    counter(0x0006, 4, uncorrected),
  ];
}

/** SSC-5, DT device status page (as ADC-4): what library and host want to know ten times a second. */
function veryHighFrequencyData({ medium }: TapePort, compressing: boolean): Uint8Array {
  const data = new Uint8Array(4);
  data[0] =
    (medium.loaded ? 0x20 : 0) | // MACC: medium auxiliary memory accessible
    (compressing ? 0x10 : 0) |
    (medium.writeProtected ? 0x08 : 0) |
    0x01; // DINIT
  data[1] = (medium.present ? 0x10 : 0) | (medium.loaded ? 0x07 : 0); // MPRSNT; MSTD, MTHRD, MOUNTED
  return data;
}

function volumeStatistics({ medium }: TapePort, figures: TapeFigures): readonly LogParameter[] {
  const capacityMegabytes = Math.floor(medium.capacityBytes / 1e6);
  // Rounded so that capacity minus used never promises more than there is.
  const usedMegabytes = Math.max(0, Math.ceil((medium.capacityBytes - medium.remainingBytes) / 1e6));
  return [
    counter(0x0000, 1, medium.loaded ? 1 : 0), // page valid
    counter(0x0001, 8, figures.loads),
    counter(0x0003, 4, 0),
    counter(0x0004, 4, figures.writeErrors),
    counter(0x0008, 4, 0),
    counter(0x0009, 4, figures.readErrors),
    counter(0x0010, 8, Math.floor(figures.mediumWrittenBytes / 1e6)),
    counter(0x0011, 8, Math.floor(figures.mediumReadBytes / 1e6)),
    counter(0x0016, 8, medium.loaded ? capacityMegabytes : 0),
    counter(0x0017, 8, medium.loaded ? usedMegabytes : 0),
    text(0x0040, 32, medium.loaded ? medium.serial : ""),
    text(0x0042, 32, medium.loaded ? medium.barcode : ""),
    counter(0x0080, 1, medium.loaded && medium.writeProtected ? 1 : 0),
    counter(0x0081, 1, 0), // WORM
  ];
}
