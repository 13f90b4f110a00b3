/** @module The cache Worker of one directing device: opens the array, tells main what a crash left in the journal, then
 *  writes stripes for ever. `CacheWriter` decides and writes; here are the sleeping, the waking and the orders. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import * as at from "../../wasm/ring/layout.ts";
import { MailboxReceiver } from "../base/mailbox.ts";
import type { CacheArray } from "../cache/array.ts";
import { openCacheArray } from "../cache/open.ts";
import { recoverJournal } from "../cache/recovery.ts";
import { CacheWriter } from "../cache/writer.ts";
import { DeviceMemory } from "../director/tee/device-memory.ts";
import { setOnTape } from "../director/tee/follower.ts";
import type { CacheFacts, CacheOrder, CacheStart, Order, WorkerNotice } from "./protocol.ts";
import { EventSleeper } from "./sleep.ts";

const IDLE_MS = 1000;

export function runCacheWorker(start: CacheStart, tell: (notice: WorkerNotice) => void): void {
  const device = DeviceMemory.view(start.memory);
  const mailbox = new MailboxReceiver(start.mailbox);
  const sleeper = new EventSleeper(start.mailbox.eventfd);
  // The folders are ours to make; a file that is there already is looked at first.
  for (const path of start.cache.memberPaths) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  let healthChanged = false;
  const opened = openCacheArray({
    ...start.cache,
    shared: device.shared,
    onEvent: (event) => {
      healthChanged = true;
      tell({
        kind: "cacheEvent",
        device: start.device,
        severity: event.severity,
        transition: event.transition,
        text: event.text,
      });
    },
  });
  if (opened.kind === "refused") {
    tell({ kind: "started", facts: { ...nothing, refused: { path: opened.path, reason: opened.reason } } });
    return;
  }
  const { array } = opened;
  tell({
    kind: "started",
    facts: { ...describe(array), created: opened.created, recovered: recover(device, array) },
  });

  let writer: CacheWriter | null = null;
  device.setWord(at.CACHE_EVENTFD, start.mailbox.eventfd);
  for (;;) {
    for (let order = mailbox.receive(); order !== null; order = mailbox.receive()) {
      const request = order as Order<CacheOrder>;
      let result: unknown = null;
      switch (request.kind) {
        case "resume":
          // All before is on tape; the head is to stand further on than the old checkpoint would protect.
          array.writeCheckpoint({ J: request.J, sequence: request.sequence, image: 0, position: 0 });
          writer = new CacheWriter(
            {
              array,
              cursors: device.ring,
              tapePlace: (into) => tapePlace(device, into),
              figures: figuresOf(device),
            },
            request.J,
          );
          result = checkpointDurably(writer);
          break;
        // Answered only when it is on the members: what comes next builds on it.
        case "identity":
          if (writer === null) array.setImageIdentity(request.json);
          else {
            writer.setImageIdentity(request.json);
            result = checkpointDurably(writer);
          }
          break;
        case "imageAnew":
          array.setImageIdentity(request.json);
          result = writer?.restartFrom({
            J: request.J,
            sequence: request.sequence,
            image: request.image,
            position: 0,
          });
          // No drive follows now: nothing of the image is on the cartridge that is to get it.
          if (result === true) setOnTape(device, request.J, 0, request.sequence);
          else array.setImageIdentity(identityBefore(array));
          break;
        case "checkpoint":
          if (writer !== null) result = checkpointDurably(writer);
          break;
        case "failMember":
          array.failMember(request.member);
          break;
        case "replaceMember":
          result = array.replaceMember(request.member, request.path);
          break;
        case "close":
          writer?.finish();
          array.close();
          tell({ kind: "reply", orderId: request.orderId, result: null });
          return;
      }
      tell({ kind: "reply", orderId: request.orderId, result });
      tell({ kind: "cacheHealth", device: start.device, health: describe(array) });
    }
    if (healthChanged) {
      healthChanged = false;
      tell({ kind: "cacheHealth", device: start.device, health: describe(array) });
    }
    if (writer === null) {
      sleeper.sleep(IDLE_MS);
      mailbox.clearSignal();
      continue;
    }
    if (cutIsAwaited(device, array)) {
      writer.checkpointNow();
      device.wakeDrive();
    }
    const step = writer.step();
    if (step === "worked") {
      device.wakeFrontIfWanted();
      continue;
    }
    device.set(
      at.CACHE_WAITS_FOR,
      step.waitFor === Number.POSITIVE_INFINITY ? Number.MAX_SAFE_INTEGER : step.waitFor,
    );
    device.setWord(at.CACHE_SLEEPS, 1);
    const again =
      device.get(at.RECEIVED) >= step.waitFor || device.get(at.WANT_DURABLE) > device.get(at.DURABLE);
    if (cutIsAwaited(device, array)) sleeper.sleep(0);
    else if (!again) sleeper.sleep(step.waitFor === Number.POSITIVE_INFINITY ? 10 : IDLE_MS);
    else if (device.get(at.RECEIVED) < step.waitFor) sleeper.sleep(1); // a barrier whose stripe is not filled up yet
    device.setWord(at.CACHE_SLEEPS, 0);
    mailbox.clearSignal();
  }
}

/** The drive's Worker is about to cut the tape where it stands, once a checkpoint lies there. */
function cutIsAwaited(device: DeviceMemory, array: CacheArray): boolean {
  const wanted = device.get(at.WANT_CHECKPOINT);
  return array.state !== "lost" && wanted > device.get(at.CHECKPOINT) && wanted <= device.get(at.ON_TAPE);
}

const CHECKPOINT_TRIES = 1000;

/** The drive's Worker may be changing the mark just now: asked again. false: the array cannot hold one. */
function checkpointDurably(writer: CacheWriter): boolean {
  for (let tries = 0; tries < CHECKPOINT_TRIES; tries++) if (writer.checkpointNow()) return true;
  return false;
}

function identityBefore(array: CacheArray): string {
  return array.readCheckpoint()?.identity ?? "{}";
}

const nothing: CacheFacts = {
  refused: null,
  created: false,
  describe: "",
  direct: false,
  members: [],
  recovered: null,
};

function describe(array: CacheArray): CacheFacts {
  const health = array.health();
  return {
    ...nothing,
    describe: array.describe(),
    direct: health.direct,
    members: health.members.map((member) => ({
      path: member.path,
      state: member.state === "good" || member.state === "rebuilding" ? member.state : "lost",
    })),
  };
}

function figuresOf(device: DeviceMemory): Float64Array {
  return new Float64Array(device.shared.memory.buffer, 0, at.RING / 8);
}

/** The entry at ON_TAPE with its sequence number, as one pair; false while the drive's Worker is changing it. */
function tapePlace(
  device: DeviceMemory,
  into: { J: number; sequence: number; image: number; position: number },
): boolean {
  const sequence = device.get(at.ON_TAPE_SEQUENCE);
  if (sequence < 0) return false;
  into.J = device.get(at.ON_TAPE);
  into.position = device.get(at.ON_TAPE_POSITION);
  into.image = device.get(at.IMAGE);
  into.sequence = sequence;
  return device.get(at.ON_TAPE_SEQUENCE) === sequence;
}

/** Walks what the last run left; the blocks before the end become history for step 615. */
function recover(device: DeviceMemory, array: CacheArray): CacheFacts["recovered"] {
  const checkpoint = array.readCheckpoint();
  if (checkpoint === null || array.state === "lost") return null;
  const walk = recoverJournal({
    reader: array,
    from: checkpoint,
    buffer: {
      address: device.shared.base + at.REPLAY,
      bytes: device.shared.bytes.subarray(at.REPLAY, at.REPLAY + at.REPLAY_BYTES),
    },
  });
  let blocks = 0;
  let step = walk.next();
  while (!step.done) {
    if (step.value.kind === at.KIND_BLOCK) blocks += step.value.count;
    step = walk.next();
  }
  const end = step.value;
  // One disk that kept old bytes or flipped some is known for it before anything is drained.
  const [suspect] = end.suspects;
  if (suspect !== undefined && end.suspects.length === 1)
    array.failMember(suspect, "held wrong bytes at the start");
  return {
    drainJ: end.drain.J,
    drainPosition: end.drain.position ?? checkpoint.position,
    drainSequence: end.drain.sequence,
    identity: checkpoint.identity,
    endJ: end.endJ,
    sequence: end.sequence,
    entries: end.entries,
    blocks,
    reason: end.reason,
    resumeJ: end.resumeJ,
    resumeSequence: end.resumeSequence,
  };
}
