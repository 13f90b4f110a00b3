/** @module `kill -9` of the gateway at random moments of a write with filemarks (DESIGN: "a crash of the gateway loses
 *  none that a barrier acknowledged"; rules 7, 9, 10, 11).
 *
 *  After each restart the cartridge file, by the independent reader, is a prefix of what the host sent, no shorter than the
 *  last promise; nothing is doubled; positions and identities are right. Then the host goes on where the tape ends.
 *
 *  Rounds come in chains of ten that share a library, each with a seed of its own. One chain again:
 *      CRASH_SEED=1234 CRASH_CHAIN=3 bun test test/crash/kill-loop.test.ts
 *  CRASH_ROUNDS: how many (100). */
import { expect, test } from "bun:test";
import { closeSync, openSync, readSync, truncateSync } from "node:fs";
import {
  BLOCK_BYTES,
  CHECKPOINT_AT,
  type Checkpoint,
  decodeCheckpoint,
  decodeSuperblock,
  HEAD_BYTES,
} from "../../src/cache/format.ts";
import { CartridgeReader } from "../../src/cli/demo/cartridge-reader.ts";
import { Random } from "../simulator/random.ts";
import { Gateway, type GatewayFacts, SMALL_LIBRARY, temporaryDirectory } from "./gateway.ts";
import { Gone, Host, Shelf } from "./host.ts";
import type { TapeModel } from "./tape-model.ts";

const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 100);
const ROUNDS_PER_CHAIN = 10;
const CHAIN = process.env.CRASH_CHAIN;
const SEED = Number(process.env.CRASH_SEED ?? Math.floor(Math.random() * 1e9));
const CARTRIDGE_BYTES_MAX = 120e6;
/** No gateway lives longer in a test than this. */
const CHAIN_TIMEOUT_MS = 240_000;

const chains =
  CHAIN === undefined
    ? Array.from({ length: Math.ceil(ROUNDS / ROUNDS_PER_CHAIN) }, (_, n) => n)
    : [Number(CHAIN)];
for (const chain of chains) {
  test(
    `DESIGN, after a crash: what a filemark promised is on the cartridge (seed ${SEED}, chain ${chain})`,
    async () => {
      const rounds = Math.min(ROUNDS_PER_CHAIN, ROUNDS);
      const figures = await new Chain(new Random(SEED * 1000 + chain), `${SEED}:${chain}`).run(rounds);
      process.stderr.write(`${figures}\n`);
    },
    CHAIN_TIMEOUT_MS,
  );
}

type Trick = "none" | "loseBuffer" | "killStart" | "killStartTwice" | "driveFails";

class Chain {
  private readonly gateway = new Gateway(temporaryDirectory("kill"), SMALL_LIBRARY);
  private readonly shelf = new Shelf();
  private facts: GatewayFacts | null = null;
  private host: Host | null = null;
  private loaded = "";
  /** What the cartridge's label and the drive's unit said first. */
  private readonly serials = new Map<string, string>();
  private driveSerial = "";
  private round = 0;
  private trick: Trick = "none";
  private recoveryMsMax = 0;
  private roundMsMax = 0;
  private drainedRounds = 0;
  private owedRounds = 0;

  constructor(
    private readonly random: Random,
    private readonly name: string,
  ) {}

  async run(rounds: number): Promise<string> {
    const startedMs = performance.now();
    try {
      this.gateway.configure();
      this.facts = await this.gateway.start();
      for (this.round = 0; this.round < rounds; this.round++) {
        const beganMs = performance.now();
        await this.oneRound();
        this.roundMsMax = Math.max(this.roundMsMax, performance.now() - beganMs);
        if (process.env.CRASH_TALK)
          process.stderr.write(
            `${this.round} ${this.trick} ${(performance.now() - beganMs).toFixed(0)} ms\n`,
          );
      }
      await this.gateway.kill();
      this.gateway.remove();
    } catch (error) {
      await this.gateway.kill();
      const text = error instanceof Error ? error.message : String(error);
      throw new Error(
        `round ${this.round} (${this.trick}) of seed ${this.name}: ${text}\nkept: ${this.gateway.directory}\n${this.gateway.words()}`,
      );
    } finally {
      this.host?.close();
    }
    const { promises, blocksSent, bytesSent, cuts, moves } = this.shelf;
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    return `seed ${this.name}: ${rounds} rounds in ${seconds} s, ${promises} filemarks promised, ${blocksSent} blocks, ${(bytesSent / 1e6).toFixed(0)} MB, ${cuts} overwrites, ${moves} moves, ${this.drainedRounds} tapes cut back, ${this.owedRounds} killed while the cache alone had promised, longest start ${this.recoveryMsMax.toFixed(0)} ms`;
  }

  private async oneRound(): Promise<void> {
    const { random, gateway, shelf } = this;
    this.trick = random.pick<Trick>([
      "none",
      "none",
      "loseBuffer",
      "loseBuffer",
      "killStart",
      "killStartTwice",
      "driveFails",
      "driveFails",
    ]);
    if (this.trick === "driveFails") await this.armFault();
    const wasLoaded = this.loaded;
    const wanted =
      this.loaded === "" || random.chance(0.15)
        ? random.pick(SMALL_LIBRARY.barcodes as [string, ...string[]])
        : this.loaded;
    const killAfterMs = this.killAfterMs(wanted !== this.loaded);
    try {
      this.host ??= new Host(this.facts as GatewayFacts, shelf, random, `${this.name}.${this.round}`);
      if (wasLoaded === "") {
        this.loaded = this.host.driveElement().barcode;
        this.driveSerial = this.host.tape.serialNumber();
      }
      gateway.killIn(killAfterMs);
      this.host.load(wanted, this.loaded);
      this.loaded = wanted;
      const model = shelf.model(wanted);
      this.stand(this.host, model);
      this.host.writeUntilGone(model, CARTRIDGE_BYTES_MAX);
    } catch (error) {
      if (!(error instanceof Gone)) throw error;
    }
    this.host?.close();
    this.host = null;
    talk(`gone`);
    await gateway.ended();
    talk(`ended`);
    if (this.trick === "driveFails" && this.tapeLacksPromised()) this.owedRounds++;
    if (this.trick === "loseBuffer") this.cutBack(shelf.model(this.loaded));
    await this.restart();
    talk(`ready`);
    this.look(wasLoaded, wanted);
  }

  /** Where a load or a failover is under way, many kills are to hit it: both take a quarter of a second. */
  private killAfterMs(moves: boolean): number {
    if (moves && this.random.chance(0.5)) return this.random.between(10, 300);
    return this.trick === "driveFails" ? this.random.between(100, 450) : this.random.between(100, 700);
  }

  /** Behind everything: at its end, or (a cartridge that is full) at its beginning. */
  private stand(host: Host, model: TapeModel): void {
    const outcome = model.bytes > CARTRIDGE_BYTES_MAX ? host.tape.rewind() : host.tape.space("endOfData");
    if (outcome.kind === "unreached") throw new Gone();
    expect(outcome.kind).toBe("good");
    if (model.bytes > CARTRIDGE_BYTES_MAX) model.cutAt(0);
  }

  private async restart(): Promise<void> {
    const { random, gateway } = this;
    const kills = this.trick === "killStart" ? 1 : this.trick === "killStartTwice" ? 2 : 0;
    for (let n = 0; n < kills; n++) {
      gateway.spawn();
      await Bun.sleep(random.between(30, 450));
      await gateway.kill();
    }
    const startedMs = performance.now();
    this.facts = await gateway.start();
    this.recoveryMsMax = Math.max(this.recoveryMsMax, performance.now() - startedMs);
  }

  private look(wasLoaded: string, wanted: string): void {
    const { gateway, shelf, random } = this;
    for (const barcode of new Set([wasLoaded, wanted])) {
      if (barcode !== "") shelf.model(barcode).check(gateway.cartridgePath(barcode));
    }
    talk(`checked`);
    const host = new Host(this.facts as GatewayFacts, shelf, random, `${this.name}.${this.round + 1}`);
    this.host = host;
    const drive = host.driveElement();
    // Killed while the robot worked: the map says where it got to.
    const may = this.loaded === wanted && wasLoaded !== "" ? [wanted] : [wasLoaded, wanted, ""];
    expect({ may, shown: may.includes(drive.barcode) ? "one of them" : drive.barcode }).toEqual({
      may,
      shown: "one of them",
    });
    this.loaded = drive.barcode;
    expect(host.tape.serialNumber()).toBe(this.driveSerial);
    host.expectRestarted();
    talk(`identities`);
    if (drive.barcode === "") return;
    host.expectRefusedUntilPositioned();
    const model = shelf.model(drive.barcode);
    talk(`refused`);
    host.expectPositions(model);
    talk(`positions`);
    const serial = host.cartridgeSerial();
    expect(serial).toBe(this.serials.get(drive.barcode) ?? serial);
    this.serials.set(drive.barcode, serial);
    if (random.chance(0.3)) host.readBack(model, 20);
  }

  /** A filemark was promised by the cache alone: the switch to the spare was not done when the kill came. */
  private tapeLacksPromised(): boolean {
    const model = this.shelf.model(this.loaded);
    if (model.promised === 0) return false;
    const reader = new CartridgeReader(this.gateway.cartridgePath(model.barcode));
    const objects = [...reader.objects()].length;
    reader.close();
    return objects < model.promised;
  }

  /** As when the whole machine lost its power: what the drive had not put on the medium is gone too. */
  private cutBack(model: TapeModel): void {
    const checkpoint = newestCheckpoint(this.gateway.memberPaths());
    if (checkpoint === null || model.mayBeUncut) return;
    if ((JSON.parse(checkpoint.identity) as { barcode?: string }).barcode !== model.barcode) return;
    const path = this.gateway.cartridgePath(model.barcode);
    const reader = new CartridgeReader(path);
    const objects = [...reader.objects()];
    reader.close();
    const least = Math.max(model.promised, checkpoint.position);
    if (objects.length <= least) return;
    const cut = objects[this.random.between(least, objects.length - 1)];
    if (cut === undefined) return;
    truncateSync(path, cut.dataOffset - 512);
    this.drainedRounds++;
  }

  /** The coupled drive breaks in this round; a drive that is out comes back first. */
  private async armFault(): Promise<void> {
    const api = `${this.facts?.httpUrl}/api/v1`;
    const status = (await (await fetch(`${api}/status`)).json()) as {
      devices: { drive: { id: number } | number | null }[];
      drives: { id: number; condition?: string; failed?: boolean; state?: string }[];
    };
    for (const { id } of status.drives)
      await fetch(`${api}/drives/${id}/return`, {
        method: "POST",
        headers: { "content-type": "application/json" },
      });
    const coupled = status.devices[0]?.drive;
    const id = typeof coupled === "object" ? coupled?.id : coupled;
    const rule = `on write ${this.random.between(1, 25)}: ${this.random.pick(["hardware error", "hardware error keep buffer", "vanish"])}`;
    const done = await fetch(`${api}/drives/${id}/fault`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ rule }),
    });
    expect(done.status).toBe(200);
  }
}

function newestCheckpoint(paths: readonly string[]): Checkpoint | null {
  let newest: Checkpoint | null = null;
  for (const path of paths) {
    const head = new Uint8Array(HEAD_BYTES);
    const fd = openSync(path, "r");
    readSync(fd, head, 0, HEAD_BYTES, 0);
    closeSync(fd);
    const superblock = decodeSuperblock(head.subarray(0, BLOCK_BYTES));
    if (superblock.kind !== "superblock") continue;
    for (const at of CHECKPOINT_AT) {
      const checkpoint = decodeCheckpoint(head.subarray(at, at + BLOCK_BYTES), superblock.superblock.arrayId);
      if (checkpoint !== null && checkpoint.generation > (newest?.generation ?? 0)) newest = checkpoint;
    }
  }
  return newest;
}

function talk(text: string): void {
  if (process.env.CRASH_TALK) process.stderr.write(`   ${performance.now().toFixed(0)} ${text}\n`);
}
