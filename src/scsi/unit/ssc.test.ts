import { describe, expect, test } from "bun:test";
import * as cdb from "../cdb.ts";
import { defaultTapeIdentity } from "../inquiry.ts";
import {
  parseInquiry,
  parseModeSense,
  parseReadPositionLong,
  parseReadPositionShort,
  parseVpd80,
  parseVpd83,
} from "../replies.ts";
import { encodeFixedSense, parseSense, type Sense } from "../sense.ts";
import * as senses from "../senses.ts";
import { NoUnit } from "./no-unit.ts";
import { type SscState, SscUnit } from "./ssc.ts";
import { TapePosition } from "./tape-position.ts";
import { STATUS_CHECK_CONDITION, STATUS_GOOD, STATUS_RESERVATION_CONFLICT } from "./task.ts";
import { FakeInitiator, FakeTapePort, nexus } from "./testing.ts";

const C = new Uint8Array(16);
const identity = defaultTapeIdentity("UND0000001");

function drive(state?: SscState): { port: FakeTapePort; unit: SscUnit; host: FakeInitiator } {
  const port = new FakeTapePort();
  const unit = new SscUnit(state === undefined ? { identity, port } : { identity, port, state });
  return { port, unit, host: new FakeInitiator(unit) };
}

function ready(): { port: FakeTapePort; unit: SscUnit; host: FakeInitiator } {
  const made = drive();
  made.host.settle();
  return made;
}

/** The CDB that the builder made, as it lies in `C`. */
function built(_bytes: number): Uint8Array {
  return C;
}

function modeSelectBlock(bytes: number, bufferedMode = 1): Uint8Array {
  return Uint8Array.of(
    0,
    0,
    bufferedMode << 4,
    8,
    0,
    0,
    0,
    0,
    0,
    bytes >> 16,
    (bytes >> 8) & 255,
    bytes & 255,
  );
}

function codeOf(sense: Sense | null): string {
  return sense === null ? "good" : [sense.key, sense.asc, sense.ascq].map((n) => n.toString(16)).join("/");
}

describe("identity", () => {
  test("RED-07: INQUIRY and VPD 80h, 83h show the identity handed in", () => {
    const { host } = drive();
    const inquiry = parseInquiry(host.run(built(cdb.putInquiry(C, 96))).data);
    expect(inquiry).toEqual({
      qualifier: 0,
      deviceType: 1,
      removable: true,
      vendor: "UNDRSTDY",
      product: "VIRTUAL-LTO8",
      revision: "0001",
    });
    expect(parseVpd80(host.run(built(cdb.putInquiryVpd(C, 0x80, 255))).data)).toBe("UND0000001");
    const designators = parseVpd83(host.run(built(cdb.putInquiryVpd(C, 0x83, 255))).data) ?? [];
    expect(designators.map(({ type, codeSet }) => [type, codeSet])).toEqual([
      [1, 2],
      [3, 1],
    ]);
    expect(Buffer.from(designators[0]!.bytes).toString()).toBe("UNDRSTDYVIRTUAL-LTO8    UND0000001");
    expect(designators[1]!.bytes[0]! >> 4).toBe(3);
  });

  test("SPC-5 §7.7: every page that VPD 00h lists is there, no other", () => {
    const { host } = drive();
    const listed = [...host.run(built(cdb.putInquiryVpd(C, 0, 255))).data.subarray(4)];
    expect(listed).toEqual([0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]);
    for (let page = 0; page < 256; page++) {
      const answer = host.run(built(cdb.putInquiryVpd(C, page, 255)));
      expect(answer.status).toBe(listed.includes(page) ? STATUS_GOOD : STATUS_CHECK_CONDITION);
      if (answer.status === STATUS_GOOD) expect(answer.data[1]).toBe(page);
      else expect(answer.sense).toEqual(senses.invalidFieldInCdb(2));
    }
  });

  test("SSC-5 TapeAlert supported flags: VPD B2h names the 64 flags that LOG SENSE 2Eh has", () => {
    const { host } = drive();
    const page = host.run(built(cdb.putInquiryVpd(C, 0xb2, 255))).data;
    expect([...page]).toEqual([0x01, 0xb2, 0, 8, ...Array<number>(8).fill(0xff)]);
  });

  test("SPC-5 ALLOCATION LENGTH: data-in is cut to the allocation length", () => {
    const { host } = drive();
    for (const bytes of [0, 1, 5, 36]) expect(host.run(built(cdb.putInquiry(C, bytes))).inBytes).toBe(bytes);
  });

  test("SPC-5 INQUIRY: a LUN that is not there answers INQUIRY with qualifier 3, all else with 25h/00h", () => {
    const host = new FakeInitiator(new NoUnit(() => [0, 1]));
    expect(parseInquiry(host.run(built(cdb.putInquiry(C, 96))).data)?.qualifier).toBe(3);
    expect(host.run(built(cdb.putReportLuns(C, 255))).data.length).toBe(24);
    expect(codeOf(host.run([0]).sense)).toBe("5/25/0");
  });
});

describe("gates", () => {
  test("SAM-5 §5.14: the first command of a nexus reports 29h/00h, INQUIRY and REPORT LUNS do not", () => {
    const { host } = drive();
    expect(host.run(built(cdb.putInquiry(C, 36))).status).toBe(STATUS_GOOD);
    expect(host.run(built(cdb.putReportLuns(C, 64))).status).toBe(STATUS_GOOD);
    expect(codeOf(host.run([0]).sense)).toBe("6/29/0");
    expect(host.run([0]).status).toBe(STATUS_GOOD);
  });

  test("SPC-5 REQUEST SENSE: takes a pending attention as data", () => {
    const { host } = drive();
    const answer = host.run(built(cdb.putRequestSense(C)));
    expect(codeOf(parseSense(answer.data))).toBe("6/29/0");
    expect(codeOf(parseSense(host.run(built(cdb.putRequestSense(C))).data))).toBe("0/0/0");
  });

  test("RED-04: another cartridge is told to every nexus, but not to the one whose LOAD brought it in", () => {
    const { port, unit, host } = ready();
    const other = new FakeInitiator(unit, nexus(2)).settle();
    host.run(built(cdb.putLoadUnload(C, false)));
    expect(codeOf(other.run([0]).sense)).toBe("2/4/2");
    host.run(built(cdb.putLoadUnload(C, true)));
    expect(host.run([0]).status).toBe(STATUS_GOOD);
    expect(codeOf(other.run([0]).sense)).toBe("6/28/0");
    expect(other.run([0]).status).toBe(STATUS_GOOD);
    port.medium.barcode = "UND002L8";
    expect(codeOf(host.run(built(cdb.putRead6(C, 512))).sense)).toBe("6/28/0");
    expect(codeOf(other.run([0]).sense)).toBe("6/28/0");
  });

  test("SPC-2 §5.5.1: RESERVE(6) keeps others out until RELEASE, nexus loss or reset", () => {
    const { unit, host } = ready();
    const other = new FakeInitiator(unit, nexus(2)).settle();
    const ends = [
      () => host.run(built(cdb.putRelease6(C))),
      () => unit.nexusLost(1),
      () => {
        unit.reset("lun");
        host.settle();
        other.settle();
      },
    ];
    for (const end of ends) {
      host.settle();
      expect(host.run(built(cdb.putReserve6(C))).status).toBe(STATUS_GOOD);
      expect(other.run(built(cdb.putWrite6(C, 512))).status).toBe(STATUS_RESERVATION_CONFLICT);
      expect(other.run([0]).status).toBe(STATUS_RESERVATION_CONFLICT);
      expect(other.run(built(cdb.putReserve6(C))).status).toBe(STATUS_RESERVATION_CONFLICT);
      expect(other.run(built(cdb.putRelease6(C))).status).toBe(STATUS_GOOD);
      expect(other.run([0]).status).toBe(STATUS_RESERVATION_CONFLICT);
      expect(other.run(built(cdb.putInquiry(C, 36))).status).toBe(STATUS_GOOD);
      expect(host.run([0]).status).toBe(STATUS_GOOD);
      end();
      expect(other.run([0]).status).toBe(STATUS_GOOD);
    }
  });

  test("SPC-5 §4.4.2.4.2: an unknown opcode and a reserved bit are pointed at", () => {
    const { host } = ready();
    expect(host.run([0xc7]).sense).toEqual(senses.invalidOpcode);
    expect(host.run([0x01, 0x02]).sense).toEqual(senses.invalidFieldInCdb(1, 1));
    expect(host.run([0x34, 0, 0, 0, 0x10]).sense).toEqual(senses.invalidFieldInCdb(4, 4));
    expect(host.run([0x00, 0, 0, 0, 0, 0x04]).sense).toEqual(senses.invalidFieldInCdb(5, 2)); // NACA
    expect(host.run([0x00, 0xe0]).status).toBe(STATUS_GOOD); // the LUN of SCSI-2
  });

  test("SSC-5 TEST UNIT READY: no cartridge is 3Ah/00h, one not loaded 04h/02h; what is in the way goes first", () => {
    const { port, host } = ready();
    port.blocking = senses.operationInProgress;
    expect(codeOf(host.run([0]).sense)).toBe("2/4/7");
    expect(codeOf(host.run(built(cdb.putWrite6(C, 512))).sense)).toBe("2/4/7");
    port.blocking = null;
    port.medium.loaded = false;
    expect(codeOf(host.run(built(cdb.putRead6(C, 512))).sense)).toBe("2/4/2");
    port.medium.present = false;
    expect(codeOf(host.run(built(cdb.putReadPosition(C))).sense)).toBe("2/3a/0");
    expect(codeOf(host.run(built(cdb.putLoadUnload(C, true))).sense)).toBe("2/3a/0");
    expect(host.run(built(cdb.putModeSense6(C, 0x3f, 255))).status).toBe(STATUS_GOOD);
  });

  test("SPC-5 PREVENT ALLOW MEDIUM REMOVAL: UNLOAD is refused while a nexus prevents removal", () => {
    const { port, unit, host } = ready();
    const other = new FakeInitiator(unit, nexus(2)).settle();
    other.run(built(cdb.putPreventAllow(C, true)));
    expect(port.prevented).toBe(true);
    expect(codeOf(host.run(built(cdb.putLoadUnload(C, false))).sense)).toBe("5/53/2");
    unit.nexusLost(2);
    expect(port.prevented).toBe(false);
    expect(host.run(built(cdb.putLoadUnload(C, false))).status).toBe(STATUS_GOOD);
  });

  test("SSC-5 WRITE(6): a write-protected cartridge takes no data and no filemark", () => {
    const { port, host } = ready();
    port.medium.writeProtected = true;
    for (const bytes of [cdb.putWrite6, cdb.putWriteFilemarks]) {
      expect(codeOf(host.run(built(bytes(C, 1))).sense)).toBe("7/27/0");
    }
    expect(codeOf(host.run(built(cdb.putErase6(C, false))).sense)).toBe("7/27/0");
    expect(host.run(built(cdb.putWriteFilemarks(C, 0))).status).toBe(STATUS_GOOD);
    expect(port.objects).toEqual([]);
  });
});

describe("blocks", () => {
  test("SSC-5 READ(6), variable: residual is requested minus actual; SILI lets both pass with block length 0", () => {
    const { host, port } = ready();
    host.run(built(cdb.putWrite6(C, 1000)));
    const read = (bytes: number, sili: boolean): { sense: Sense | null; inBytes: number } => {
      port.at = 0;
      const { sense, inBytes } = host.run(built(cdb.putRead6(C, bytes, false, sili)));
      return { sense, inBytes };
    };
    expect(read(1000, false)).toEqual({ sense: null, inBytes: 1000 });
    expect(read(4000, false)).toMatchObject({
      sense: { key: 0, ili: true, information: 3000 },
      inBytes: 1000,
    });
    expect(read(400, false)).toMatchObject({ sense: { key: 0, ili: true, information: -600 }, inBytes: 400 });
    expect(read(4000, true)).toEqual({ sense: null, inBytes: 1000 });
    expect(read(400, true)).toEqual({ sense: null, inBytes: 400 });
    host.run(built(cdb.putModeSelect6(C, 12)), modeSelectBlock(512));
    expect(read(4000, true)).toEqual({ sense: null, inBytes: 1000 });
    expect(read(400, true)).toMatchObject({ sense: { ili: true, information: -600 }, inBytes: 400 });
  });

  test("SSC-5 READ(6), fixed: residuals count blocks, at a filemark, at a wrong length and at end of data", () => {
    const { host, port } = ready();
    host.run(built(cdb.putModeSelect6(C, 12)), modeSelectBlock(512));
    expect(host.run(built(cdb.putWrite6(C, 3, true))).outBytes).toBe(1536);
    host.run(built(cdb.putWriteFilemarks(C, 1)));
    host.run(built(cdb.putWrite6(C, 100)));
    port.at = 0;
    expect(host.run(built(cdb.putRead6(C, 5, true)))).toMatchObject({
      sense: { key: 0, asc: 0, ascq: 1, filemark: true, information: 2 },
      inBytes: 1536,
    });
    expect(host.run(built(cdb.putRead6(C, 5, true)))).toMatchObject({
      sense: { ili: true, information: 5 },
      inBytes: 0,
    });
    expect(host.run(built(cdb.putRead6(C, 5, true))).sense).toMatchObject({
      key: 8,
      asc: 0,
      ascq: 5,
      information: 5,
    });
  });

  test("SSC-5 READ BLOCK LIMITS: a unit with a smaller largest block says so, and refuses longer ones", () => {
    const port = new FakeTapePort();
    const host = new FakeInitiator(new SscUnit({ identity, port, blockBytesMax: 1048576 }));
    host.settle();
    expect([...host.run(built(cdb.putReadBlockLimits(C))).data]).toEqual([0, 0x10, 0, 0, 0, 1]);
    expect(host.run(built(cdb.putWrite6(C, 1048576))).status).toBe(STATUS_GOOD);
    expect(host.run(built(cdb.putWrite6(C, 1048577))).sense).toEqual(senses.invalidFieldInCdb(2));
  });

  test("SSC-5 READ(6), WRITE(6): FIXED needs a block length and forbids SILI; a block is at most 8 MiB", () => {
    const { host } = ready();
    expect(host.run(built(cdb.putWrite6(C, 1, true))).sense).toEqual(senses.invalidFieldInCdb(1, 0));
    host.run(built(cdb.putModeSelect6(C, 12)), modeSelectBlock(512));
    expect(host.run(built(cdb.putRead6(C, 1, true, true))).sense).toEqual(senses.invalidFieldInCdb(1, 1));
    expect(host.run(built(cdb.putWrite6(C, 8 * 1048576))).status).toBe(STATUS_GOOD);
    expect(host.run(built(cdb.putWrite6(C, 8 * 1048576 + 1))).sense).toEqual(senses.invalidFieldInCdb(2));
    expect(host.run(built(cdb.putWrite6(C, 16385, true))).sense).toEqual(senses.invalidFieldInCdb(2));
    expect(host.run([0x05]).data).toEqual(Uint8Array.of(0, 0x80, 0, 0, 0, 1));
  });

  test("SSC-5 READ(6), WRITE(6): a transfer of no blocks is GOOD and never reaches the port", () => {
    const { host, port } = ready();
    expect(host.run(built(cdb.putWrite6(C, 0))).status).toBe(STATUS_GOOD);
    expect(host.run(built(cdb.putRead6(C, 0))).status).toBe(STATUS_GOOD);
    expect(host.run(built(cdb.putSpace6(C, 0, 0))).status).toBe(STATUS_GOOD);
    expect(port.submitted).toEqual([]);
  });

  test("SSC-5 SPACE(6), SPACE(16): counts to and fro in both lengths, with residuals", () => {
    const { host, port } = ready();
    for (let i = 0; i < 3; i++) {
      host.run(built(cdb.putWrite6(C, 100 + i)));
      host.run(built(cdb.putWriteFilemarks(C, 1)));
    }
    for (const put of [cdb.putSpace6, cdb.putSpace16]) {
      host.run(built(cdb.putRewind(C)));
      expect(host.run(built(put(C, 1, 2))).status).toBe(STATUS_GOOD);
      expect(port.at).toBe(4);
      expect(host.run(built(put(C, 0, 5))).sense).toMatchObject({ filemark: true, information: 4 });
      expect(host.run(built(put(C, 1, 7))).sense).toMatchObject({ key: 8, asc: 0, ascq: 5, information: 7 });
      expect(host.run(built(put(C, 1, -4))).sense).toMatchObject({
        key: 0,
        asc: 0,
        ascq: 4,
        eom: true,
        information: 1,
      });
      expect(host.run(built(put(C, 3, 0))).status).toBe(STATUS_GOOD);
      expect(port.at).toBe(6);
    }
  });

  test("SSC-5: LOCATE(10), LOCATE(16) and READ POSITION short, long, extended agree", () => {
    const { host, port } = ready();
    for (let i = 0; i < 5; i++) host.run(built(cdb.putWrite6(C, 100)));
    host.run(built(cdb.putWriteFilemarks(C, 1)));
    const position = new TapePosition();
    for (const object of [0, 3, 6]) {
      host.run(built(object === 3 ? cdb.putLocate16(C, 0, object) : cdb.putLocate10(C, object)));
      expect(parseReadPositionShort(host.run(built(cdb.putReadPosition(C))).data, position)).toBe(true);
      expect([position.first, position.bop]).toEqual([object, object === 0]);
      expect(parseReadPositionLong(host.run(built(cdb.putReadPosition(C, 6))).data, position)).toBe(true);
      expect([position.first, position.fileNumber]).toEqual([object, object === 6 ? 1 : 0]);
      expect(host.run(built(cdb.putReadPosition(C, 8))).data.length).toBe(32);
    }
    expect(codeOf(host.run(built(cdb.putLocate10(C, 99))).sense)).toBe("8/0/5");
    expect(port.at).toBe(6);
    expect(host.run([0x34, 5]).sense).toEqual(senses.invalidFieldInCdb(1, 4));
  });

  test("SSC-5 WRITE FILEMARKS(6): an immediate filemark is refused in unbuffered mode", () => {
    const { host } = ready();
    host.run(built(cdb.putModeSelect6(C, 12)), modeSelectBlock(0, 0));
    expect(host.run(built(cdb.putWriteFilemarks(C, 1, true))).sense).toEqual(senses.invalidFieldInCdb(1, 0));
    expect(host.task.tape.bufferedMode).toBe(1);
    expect(host.run(built(cdb.putWrite6(C, 10))).status).toBe(STATUS_GOOD);
    expect(host.task.tape.bufferedMode).toBe(0);
  });
});

describe("modes", () => {
  test("SPC-5 §7.5: pages 0Fh, 10h, 11h and all pages, in both lengths; saved values are 39h/00h", () => {
    const { host } = ready();
    for (const ten of [false, true]) {
      const sense = ten ? cdb.putModeSense10 : cdb.putModeSense6;
      const modes = parseModeSense(ten, host.run(built(sense(C, 0x3f, 255))).data);
      expect([...(modes?.pages.keys() ?? [])]).toEqual([0x01, 0x02, 0x0a, 0x0f, 0x10, 0x11, 0x1c]);
      expect(modes).toMatchObject({
        deviceSpecific: 0x10,
        blockBytes: 0,
        densityCode: 0x5e,
        mediumType: 0x88,
      });
      for (const page of [0x0f, 0x10, 0x11]) {
        const one = parseModeSense(ten, host.run(built(sense(C, page, 255, 0, true))).data);
        expect(one?.blockBytes).toBeNull();
        expect([...(one?.pages.keys() ?? [])]).toEqual([page]);
      }
      expect(parseModeSense(ten, host.run(built(sense(C, 0, 255))).data)?.pages.size).toBe(0);
      expect(codeOf(host.run(built(sense(C, 0x0f, 255, 3))).sense)).toBe("5/39/0");
      expect(codeOf(host.run(built(sense(C, 0x2a, 255))).sense)).toBe("5/24/0");
    }
  });

  test("SPC-5 MODE SELECT: what MODE SENSE shows goes back by MODE SELECT; block length and buffered mode stay", () => {
    const { host, unit } = ready();
    const other = new FakeInitiator(unit, nexus(2)).settle();
    host.run(built(cdb.putModeSelect6(C, 12)), modeSelectBlock(65536, 2));
    const list = host.run(built(cdb.putModeSense6(C, 0x3f, 255))).data;
    list[0] = 0;
    expect(host.run(built(cdb.putModeSelect6(C, list.length)), list).status).toBe(STATUS_GOOD);
    const modes = parseModeSense(false, host.run(built(cdb.putModeSense6(C, 0, 255))).data);
    expect(modes).toMatchObject({ blockBytes: 65536, deviceSpecific: 0x20 });
    expect(codeOf(other.run([0]).sense)).toBe("6/2a/1");
    const defaults = parseModeSense(false, host.run(built(cdb.putModeSense6(C, 0, 255, 2))).data);
    expect(defaults).toMatchObject({ blockBytes: 0, deviceSpecific: 0x10 });
  });

  test("SSC-5 pages 0Fh and 10h: compression as Linux st switches it, shown alike on pages 0Fh and 10h", () => {
    const { host, unit } = ready();
    for (const on of [false, true]) {
      const list = host.run(built(cdb.putModeSense6(C, 0x0f, 255, 0, true))).data;
      list[0] = 0;
      list[4 + 2] = (list[4 + 2]! & 0x7f) | (on ? 0x80 : 0);
      if (!on) list[4 + 7] = 0;
      expect(host.run(built(cdb.putModeSelect6(C, list.length)), list).status).toBe(STATUS_GOOD);
      expect(unit.isCompressing).toBe(on);
      const page = parseModeSense(false, host.run(built(cdb.putModeSense6(C, 0x10, 255))).data)?.pages.get(
        0x10,
      );
      expect(page?.[14]).toBe(on ? 1 : 0);
    }
  });

  test("SSC-5 pages 0Fh and 10h: sent back together, the one that changed counts", () => {
    const { host, unit } = ready();
    const all = host.run(built(cdb.putModeSense6(C, 0x3f, 255, 0, true))).data;
    all[0] = 0;
    const algorithmAt = all.indexOf(0x10, 4 + 12 + 16 + 12 + 16) + 14;
    all[algorithmAt] = 0;
    expect(host.run(built(cdb.putModeSelect6(C, all.length)), all).status).toBe(STATUS_GOOD);
    expect(unit.isCompressing).toBe(false);
  });

  test("SPC-5 MODE SELECT: it is all or nothing and points at what is wrong", () => {
    const { host } = ready();
    const list = host.run(built(cdb.putModeSense6(C, 0x10, 255))).data;
    list[0] = 0;
    list[11] = 1; // block length 1
    list[12 + 8] = 0; // LOIS is not changeable
    expect(host.run(built(cdb.putModeSelect6(C, list.length)), list).sense).toEqual(
      senses.invalidFieldInParameterList(20, 6),
    );
    expect(parseModeSense(false, host.run(built(cdb.putModeSense6(C, 0, 255))).data)?.blockBytes).toBe(0);
    const select = (bytes: readonly number[]): string =>
      codeOf(host.run(built(cdb.putModeSelect6(C, bytes.length)), Uint8Array.from(bytes)).sense);
    expect(select([0, 0, 0x10])).toBe("5/1a/0");
    expect(select([0, 0, 0x10, 8, 0, 0])).toBe("5/1a/0");
    expect(select([0, 0, 0x10, 7, 0, 0, 0, 0, 0, 0, 0])).toBe("5/26/0");
    expect(select([0, 0, 0x70, 0])).toBe("5/26/0");
    expect(select([0, 0, 0x10, 0, 0x2a, 2, 0, 0])).toBe("5/26/0");
    expect(select([0, 0, 0x10, 0, 0x0f, 14, 0])).toBe("5/1a/0");
    expect(select([0, 0, 0x10, 8, 0x44, 0, 0, 0, 0, 0, 0, 0])).toBe("5/26/0");
    expect(select([0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0xff, 0, 0])).toBe("5/26/0");
    expect(host.run([0x15, 0x11, 0, 0, 12]).sense).toEqual(senses.invalidFieldInCdb(1, 0)); // SP
  });
});

test("RED-24: modes, block length, reservation, prevention and attentions travel in a handover", () => {
  const { host, unit } = ready();
  const other = new FakeInitiator(unit, nexus(2));
  other.run(built(cdb.putInquiry(C, 36)));
  host.run(built(cdb.putModeSelect6(C, 12)), modeSelectBlock(1024, 2));
  host.run(built(cdb.putReserve6(C)));
  host.run(built(cdb.putPreventAllow(C, true)));
  const state: SscState = JSON.parse(JSON.stringify(unit.exportState()));
  const next = drive(state);
  expect(next.host.run([0]).status).toBe(STATUS_GOOD); // no power on: the host notices nothing
  const modes = parseModeSense(false, next.host.run(built(cdb.putModeSense6(C, 0, 255))).data);
  expect(modes).toMatchObject({ blockBytes: 1024, deviceSpecific: 0x20 });
  expect(codeOf(next.host.run(built(cdb.putLoadUnload(C, false))).sense)).toBe("5/53/2");
  const otherThere = new FakeInitiator(next.unit, nexus(2));
  expect(codeOf(otherThere.run([0]).sense)).toBe("6/29/0"); // was still pending there, 2Ah/01h behind it
  expect(codeOf(otherThere.run([0]).sense)).toBe("6/2a/1");
  expect(otherThere.run([0]).status).toBe(STATUS_RESERVATION_CONFLICT);
  expect(next.unit.exportState()).toMatchObject({ blockBytes: 1024, bufferedMode: 2 });
});

test("SPC-5 §4.4: sense survives encoding, fixed and descriptor format alike", () => {
  const bytes = new Uint8Array(252);
  const samples: Sense[] = [
    { key: 0, asc: 0, ascq: 1, filemark: true, information: 7 },
    { key: 0, asc: 0, ascq: 0, ili: true, information: -4096 },
    { key: 3, asc: 0x0c, ascq: 0, deferred: true },
    senses.invalidFieldInCdb(8, 3),
    senses.invalidFieldInParameterList(300),
  ];
  for (const sense of samples)
    expect(parseSense(bytes.subarray(0, encodeFixedSense(sense, bytes)))).toEqual(sense);
  const descriptor = Uint8Array.of(
    0x73,
    0,
    0,
    2,
    0,
    0,
    0,
    16,
    0,
    0x0a,
    0x80,
    0,
    255,
    255,
    255,
    255,
    255,
    255,
    255,
    254,
    4,
    2,
    0,
    0x60,
  );
  expect(parseSense(descriptor)).toEqual({
    key: 0,
    asc: 0,
    ascq: 2,
    deferred: true,
    information: -2,
    eom: true,
    ili: true,
  });
  expect(parseSense(new Uint8Array(0))).toBeNull();
});
