/** @module Mode parameters of a tape drive (SSC-5): block length, buffered mode, and pages 01 02 0A 0F 10 11 1C.
 *  Compression can be switched on pages 0Fh and 10h; both show the same. */
import { putU16, putU24, u24 } from "../bytes.ts";
import type { Sense } from "../sense.ts";
import { invalidFieldInParameterList } from "../senses.ts";
import {
  DEFAULT,
  type ModeChange,
  type ModeHeader,
  type ModePage,
  modePage,
  type PageControl,
} from "./mode.ts";
import type { TapeMedium } from "./ports.ts";

/** Largest block where nobody says less. */
export const BLOCK_BYTES_MAX = 8 * 1048576;

export const PAGE_DATA_COMPRESSION = 0x0f;
export const PAGE_DEVICE_CONFIGURATION = 0x10;
export const PAGE_MEDIUM_PARTITION = 0x11;

/** Data Compression page, byte 2: DCE and DCC; byte 3: DDE. */
const DCE = 0x80;
const DCC = 0x40;
const DDE = 0x80;
/** Compression algorithm, last byte of its field. */
const ALGORITHM_AT = 7;
const ALGORITHM_DEFAULT = 0x01;
/** Device Configuration page: SELECT DATA COMPRESSION ALGORITHM. */
const SELECT_ALGORITHM_AT = 14;
const BUFFERED_MODE_DEFAULT = 1;
const DENSITY_NO_CHANGE = 0x7f;

export class TapeModes {
  /** 0: variable. */
  blockBytes = 0;
  bufferedMode = BUFFERED_MODE_DEFAULT;
  readonly pages: readonly ModePage[];
  private readonly compression = compressionPage();
  private readonly configuration = configurationPage();

  constructor(
    private readonly medium: TapeMedium,
    private readonly blockBytesMax: number = BLOCK_BYTES_MAX,
  ) {
    this.pages = [
      modePage(0x01, 12, {}), // Read-Write Error Recovery
      modePage(0x02, 16, {}), // Disconnect-Reconnect
      modePage(0x0a, 12, {}), // Control
      this.compression,
      this.configuration,
      partitionPage(medium),
      modePage(0x1c, 12, { 2: 0x08, 3: 0x03 }), // Informational Exceptions: none reported but by TapeAlert
    ];
  }

  get isCompressing(): boolean {
    return (this.compression.current[2]! & DCE) !== 0;
  }

  header(withBlockDescriptor: boolean, control: PageControl): ModeHeader {
    const { medium } = this;
    let blockDescriptor: Uint8Array | null = null;
    if (withBlockDescriptor) {
      blockDescriptor = new Uint8Array(8);
      blockDescriptor[0] = medium.densityCode;
      putU24(blockDescriptor, 5, control === DEFAULT ? 0 : this.blockBytes);
    }
    const bufferedMode = control === DEFAULT ? BUFFERED_MODE_DEFAULT : this.bufferedMode;
    return {
      mediumType: medium.mediumType,
      deviceSpecific: (medium.writeProtected ? 0x80 : 0) | (bufferedMode << 4),
      blockDescriptor,
    };
  }

  /** `at`: where the block descriptor begins, which tells the length of the header. */
  checkHeader(deviceSpecific: number, descriptor: Uint8Array | null, at: number): Sense | null {
    if (((deviceSpecific >> 4) & 7) > 2) return invalidFieldInParameterList(at === 8 ? 3 : 2, 6);
    if (descriptor === null) return null;
    const density = descriptor[0]!;
    const isKnown = density === 0 || density === DENSITY_NO_CHANGE || density === this.medium.densityCode;
    if (!isKnown) return invalidFieldInParameterList(at);
    return u24(descriptor, 5) > this.blockBytesMax ? invalidFieldInParameterList(at + 5) : null;
  }

  applyHeader(deviceSpecific: number, descriptor: Uint8Array | null): void {
    this.bufferedMode = (deviceSpecific >> 4) & 7;
    if (descriptor !== null) this.blockBytes = u24(descriptor, 5);
  }

  pagesChanged(changes: readonly ModeChange[]): void {
    const { compression, configuration } = this;
    for (const { page } of changes) {
      if (page === compression) {
        configuration.current[SELECT_ALGORITHM_AT] = this.isCompressing ? 1 : 0;
      } else if (page === configuration) {
        const on = page.current[SELECT_ALGORITHM_AT] !== 0;
        compression.current[2] = (compression.current[2]! & ~DCE) | (on ? DCE : 0);
      }
    }
    compression.current[ALGORITHM_AT] = this.isCompressing ? ALGORITHM_DEFAULT : 0;
  }

  reset(): void {
    this.blockBytes = 0;
    this.bufferedMode = BUFFERED_MODE_DEFAULT;
    for (const page of this.pages) page.current.set(page.defaults);
  }
}

/** The algorithm is changeable because Linux st sets it to 0 with DCE off; it follows DCE. */
function compressionPage(): ModePage {
  return modePage(
    PAGE_DATA_COMPRESSION,
    16,
    { 2: DCE | DCC, 3: DDE, [ALGORITHM_AT]: ALGORITHM_DEFAULT, 11: ALGORITHM_DEFAULT },
    { 2: DCE, [ALGORITHM_AT]: 0xff },
    { check: (bytes) => (bytes[ALGORITHM_AT]! > ALGORITHM_DEFAULT ? ALGORITHM_AT : -1) },
  );
}

function configurationPage(): ModePage {
  return modePage(
    PAGE_DEVICE_CONFIGURATION,
    16,
    {
      8: 0x40, // LOIS: logical objects have identifiers
      10: 0x18, // EEG, SEW: end of data is written, early warning synchronises
      [SELECT_ALGORITHM_AT]: 1,
    },
    { [SELECT_ALGORITHM_AT]: 0xff },
    { check: (bytes) => (bytes[SELECT_ALGORITHM_AT]! > 1 ? SELECT_ALGORITHM_AT : -1) },
  );
}

/** One partition, of the medium's size in GB. */
function partitionPage(medium: TapeMedium): ModePage {
  return modePage(
    PAGE_MEDIUM_PARTITION,
    10,
    { 4: 0x18, 5: 0x03, 6: 0x09 }, // PSUM 3: units of 10^n bytes, n = 9; medium is recognised with its partitions
    {},
    {
      refresh: ({ current, defaults }) => {
        const gigabytes = medium.loaded ? Math.min(Math.ceil(medium.capacityBytes / 1e9), 0xffff) : 0;
        putU16(current, 8, gigabytes);
        putU16(defaults, 8, gigabytes);
      },
    },
  );
}
