/** @module The network drive keeps the contract of every drive; what its transport does when the connection breaks. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IscsiTransport } from "../../src/device/iscsi-transport.ts";
import { SpacingTransport } from "../../src/device/spacing-transport.ts";
import { TapeDrive } from "../../src/device/tape-drive.ts";
import { READ_POSITION, REWIND, SPACE_6, WRITE_6 } from "../../src/scsi/opcodes.ts";
import { driveContract, NativeArea, type OpenedDrive } from "./drive-contract.ts";
import { RELAY_LUN, RELAY_TARGET, type RelayOrder } from "./iscsi-relay.ts";

const MIB = 1024 * 1024;
const capacityBytes = 48 * MIB;
const earlyWarningBytes = 4 * MIB;
const directory = mkdtempSync(join(tmpdir(), "understudy-relay-"));
afterAll(() => rmSync(directory, { recursive: true }));

interface Relay {
  readonly port: number;
  order(order: RelayOrder): Promise<number[]>;
}
let serial = 0;

async function startRelay(): Promise<Relay> {
  const worker = new Worker(new URL("./iscsi-relay.ts", import.meta.url).href);
  const say = <T>(order: RelayOrder): Promise<T> => {
    const answer = Promise.withResolvers<T>();
    worker.onmessage = ({ data }: MessageEvent<T>) => answer.resolve(data);
    worker.postMessage(order);
    return answer.promise;
  };
  const path = join(directory, `UND${++serial}.tape`);
  const port = await say<number>({ kind: "start", path, capacityBytes, earlyWarningBytes });
  return { port, order: (order) => say<number[]>(order) };
}

function transportTo(port: number): IscsiTransport {
  const initiatorName = "iqn.2026-01.test:gateway";
  return new IscsiTransport({
    ...{ host: "127.0.0.1", port, targetName: RELAY_TARGET, lun: RELAY_LUN, initiatorName },
    connectMs: 2000,
  });
}

describe("over iSCSI", () => {
  let relay: Relay;
  beforeEach(async () => {
    relay = await startRelay();
  });
  afterEach(() => relay.order({ kind: "stop" }));

  const open = (): OpenedDrive => {
    const transport = transportTo(relay.port);
    return { transport, capacityBytes, earlyWarningBytes, close: () => transport.close() };
  };
  driveContract("iSCSI", open);
  driveContract("iSCSI, as the gateway opens it", () => {
    const transport = new SpacingTransport(transportTo(relay.port));
    return { transport, capacityBytes, earlyWarningBytes, close: () => transport.close() };
  });

  const area = new NativeArea();
  const opened = (): { drive: TapeDrive; transport: IscsiTransport } => {
    const transport = transportTo(relay.port);
    const drive = new TapeDrive(transport);
    expect(drive.testUnitReady()).toBe("good");
    expect(drive.rewind()).toBe("good");
    return { drive, transport };
  };

  for (const carriedOut of [true, false]) {
    test(`RED-33: a write whose connection breaks is told as lost and not sent again (${carriedOut ? "" : "not "}carried out)`, async () => {
      const { drive, transport } = opened();
      for (let n = 0; n < 3; n++) expect(drive.write(area.address, area.fill(1000, n))).toBe("good");
      await relay.order({ kind: "break", opcode: WRITE_6, carriedOut });
      expect(drive.write(area.address, area.fill(1000, 3))).toBe("unreachable");
      expect(drive.reply.cause).toContain("may or may not have been carried out");
      // Nothing that depends on the place goes out, nor does it open a session.
      expect(drive.write(area.address, area.fill(1000, 4))).toBe("unreachable");
      expect(drive.reply.cause).toContain("was not sent");
      expect(drive.writeFilemarks(1, false)).toBe("unreachable");
      expect(drive.space(0, 1)).toBe("unreachable");
      const seen = await relay.order({ kind: "log" });
      expect(seen).toEqual([WRITE_6]);
      // A session without a word of the place is not enough.
      expect(drive.testUnitReady()).toBe("good");
      expect(transport.reconnects).toBe(1);
      expect(drive.write(area.address, area.fill(1000, 4))).toBe("unreachable");
      expect(drive.reply.cause).toContain("place unknown");
      expect(drive.readPosition()).toBe("good");
      expect(drive.position.position).toBe(carriedOut ? 4 : 3);
      expect(drive.write(area.address, area.fill(1000, 4))).toBe("good");
      transport.close();
    });
  }

  test("RED-33: a question is asked once more on a new session, a relative movement is not", async () => {
    const { drive, transport } = opened();
    await relay.order({ kind: "break", opcode: READ_POSITION, carriedOut: false });
    expect(drive.readPosition()).toBe("good");
    expect(transport.reconnects).toBe(1);
    await relay.order({ kind: "break", opcode: SPACE_6, carriedOut: true });
    expect(drive.space(0, 1)).toBe("unreachable");
    expect(transport.reconnects).toBe(1);
    await relay.order({ kind: "break", opcode: REWIND, carriedOut: false });
    expect(drive.rewind()).toBe("good");
    transport.close();
  });

  test("RED-33: a command without an answer is lost when its time is over, and is not asked again", async () => {
    const { drive, transport } = opened();
    await relay.order({ kind: "hang", opcode: REWIND });
    const reply = drive.reply;
    const startMs = performance.now();
    transport.execute(Uint8Array.of(REWIND, 0, 0, 0, 0, 0), "none", 0, 0, 300, reply);
    expect(performance.now() - startMs).toBeLessThan(2000);
    expect(reply.reached).toBe(false);
    expect(reply.cause).toContain("no answer within 300 ms");
    expect(await relay.order({ kind: "log" })).toEqual([REWIND]);
    transport.close();
  });
});

test("RED-33: a drive that is away is told as not reached, with its address, and nothing was sent", () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  const drive = new TapeDrive(transportTo(port));
  expect(drive.testUnitReady()).toBe("unreachable");
  expect(drive.reply.cause).toContain(`127.0.0.1:${port}`);
  expect(drive.reply.cause).toContain("was not sent");
});
