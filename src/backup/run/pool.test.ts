import { expect, test } from "bun:test";
import { noCounters } from "../scan/messages.ts";
import type { Job } from "./jobs.ts";
import type { JobAnswer, ReaderAnswer, ReaderOrder, ReaderStart } from "./messages.ts";
import { ReaderPool } from "./pool.ts";

const START: ReaderStart = {
  role: "backupReader",
  archivePath: "/nowhere",
  pack: 1,
  codec: "none",
  salt: 1n,
  shared: new SharedArrayBuffer(64),
};

/** A Worker that does what the test says. */
class Puppet extends EventTarget {
  onmessage: ((event: MessageEvent) => void) | null = null;
  readonly orders: ReaderOrder[] = [];
  isEnded = false;

  postMessage(order: ReaderOrder | ReaderStart): void {
    if (!("type" in order)) return;
    this.orders.push(order);
    if (order.type === "close") this.say({ type: "closed" });
  }

  terminate(): void {
    this.isEnded = true;
    this.dispatchEvent(new CloseEvent("close"));
  }

  say(answer: ReaderAnswer): void {
    this.onmessage?.(new MessageEvent("message", { data: answer }));
  }

  get jobs(): Job[] {
    return this.orders.flatMap((order) => (order.type === "job" ? [order.job] : []));
  }

  answer(job: Job, more: Partial<JobAnswer> = {}): void {
    this.say({
      type: "answer",
      ordinal: job.ordinal,
      pass: job.pass,
      records: Uint8Array.of(job.pass, job.ordinal),
      files: 1,
      readBytes: 1,
      complaints: [],
      strayed: [],
      fault: null,
      ...more,
    });
  }
}

function poolOf(count: number): { pool: ReaderPool; puppets: Puppet[]; heard: number[] } {
  const puppets: Puppet[] = [];
  const heard: number[] = [];
  const spawn = () => {
    const puppet = new Puppet();
    puppets.push(puppet);
    return puppet as unknown as Worker;
  };
  const pool = new ReaderPool(count, spawn, START, ({ ordinal }) => heard.push(ordinal));
  return { pool, puppets, heard };
}

const jobOf = (ordinal: number, pass: Job["pass"] = 1): Job => ({
  ordinal,
  pass,
  records: new Uint8Array(1),
});

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = () => {
    settled = true;
  };
  promise.then(mark, mark);
  await Bun.sleep(1);
  return settled;
}

const FLUSHED: ReaderAnswer = { type: "flushed", rows: new Uint8Array(0), abandoned: [], fault: null };

test("jobs go round, two to a Worker, and answers keep their places whenever they come", async () => {
  const { pool, puppets, heard } = poolOf(2);
  const [one, two] = puppets as [Puppet, Puppet];
  for (let ordinal = 0; ordinal < 5; ordinal++) pool.submit(jobOf(ordinal));
  const ordinals = (puppet: Puppet) => puppet.jobs.map(({ ordinal }) => ordinal);
  expect([ordinals(one), ordinals(two)]).toEqual([
    [0, 2],
    [1, 3],
  ]);
  two.answer(jobOf(3), { strayed: ["1:0:9"] });
  expect(ordinals(two)).toEqual([1, 3, 4]);
  const answered = pool.answered();
  for (const ordinal of [2, 0]) one.answer(jobOf(ordinal));
  for (const ordinal of [4]) two.answer(jobOf(ordinal));
  expect(await isSettled(answered)).toBe(false);
  two.answer(jobOf(1), { complaints: [{ path: new Uint8Array(0), text: "no" }] });
  await answered;
  expect(pool.first.map((records) => records[1])).toEqual([0, 1, 2, 3, 4]);
  expect([heard, pool.complaints.length, [...pool.strayed]]).toEqual([[3, 2, 0, 4, 1], 1, ["1:0:9"]]);
  pool.submit(jobOf(0, 2));
  pool.submit(jobOf(0, 3));
  const drained = pool.drain();
  for (const puppet of puppets) puppet.answer(puppet.jobs.at(-1) as Job);
  expect([pool.second[0]?.[0], pool.third[0]?.[0]]).toEqual([2, 3]);
  await Bun.sleep(0);
  one.say(FLUSHED);
  expect(await isSettled(drained)).toBe(false);
  two.say(FLUSHED);
  expect(await drained).toHaveLength(2);
  await pool.end();
  expect([pool.failed, one.isEnded, two.isEnded]).toEqual([null, true, true]);
});

test("too many jobs hold the survey back until some are answered", async () => {
  const { pool, puppets } = poolOf(1);
  const [one] = puppets as [Puppet];
  for (let ordinal = 0; ordinal < 67; ordinal++) pool.submit(jobOf(ordinal));
  const room = pool.room();
  expect(await isSettled(room)).toBe(false);
  one.answer(jobOf(0));
  await room;
  await pool.end();
});

const ENDS: readonly [string, (puppet: Puppet) => void][] = [
  ["an error", (puppet) => puppet.dispatchEvent(new ErrorEvent("error", { message: "boom" }))],
  ["an end that nobody asked for", (puppet) => puppet.dispatchEvent(new CloseEvent("close"))],
  ["an archive that it cannot open", (puppet) => puppet.say({ type: "failed", text: "ENOENT" })],
];

test.each(ENDS)("a Worker dies of %s: every wait ends, and the scan fails", async (_, end) => {
  const { pool, puppets } = poolOf(2);
  const scan = pool.scan({
    roots: [new Uint8Array(0)],
    exclude: [],
    excludeCaches: false,
    sizeMaxBytes: null,
    honourNodump: false,
    oneFileSystem: false,
    pseudo: new Map(),
    stores: [],
  });
  for (let ordinal = 0; ordinal < 80; ordinal++) pool.submit(jobOf(ordinal));
  const waits = [pool.room(), pool.answered()];
  const batch = scan.batches().next();
  batch.catch(() => {});
  expect(await isSettled(Promise.all(waits))).toBe(false);
  end(puppets[1] as Puppet);
  // Nobody waits twice at once in a run; each is woken in turn.
  await Promise.all([pool.room(), pool.answered(), pool.drain()]);
  expect(pool.failed).not.toBeNull();
  expect(batch).rejects.toThrow();
  await pool.end();
});

test("a full archive ends the wait for answers; Workers still say what they wrote", async () => {
  const { pool, puppets, heard } = poolOf(2);
  const [one, two] = puppets as [Puppet, Puppet];
  for (let ordinal = 0; ordinal < 9; ordinal++) pool.submit(jobOf(ordinal));
  const drained = pool.drain();
  one.answer(jobOf(0), { fault: { kind: "noSpace", text: "full" } });
  await Bun.sleep(0);
  expect(pool.fault).toEqual({ kind: "noSpace", text: "full" });
  expect([heard, one.jobs.length]).toEqual([[], 2]);
  for (const puppet of [one, two]) puppet.say(FLUSHED);
  expect(await drained).toHaveLength(2);
  expect(pool.failed).toBeNull();
});

test("the scan hears its Workers, and no answer of it is taken for another", async () => {
  const { pool, puppets } = poolOf(1);
  const [one] = puppets as [Puppet];
  const scan = pool.scan({
    roots: [new Uint8Array(0)],
    exclude: [],
    excludeCaches: false,
    sizeMaxBytes: null,
    honourNodump: false,
    oneFileSystem: false,
    pseudo: new Map(),
    stores: [],
  });
  expect(one.orders.map(({ type }) => type)).toEqual(["scanRules", "scanJob"]);
  one.say({ type: "scanBatch", job: 0, records: Uint8Array.of(1, 2) });
  one.say({ type: "scanDone", job: 0, counters: { ...noCounters(), files: 3 } });
  const batches: Uint8Array[] = [];
  for await (const batch of scan.batches()) batches.push(batch);
  expect([batches.length, scan.counters.files]).toEqual([1, 3]);
  await pool.end();
});

test("real Workers that throw or leave end the run", async () => {
  for (const code of ["self.onmessage = () => { throw new Error('boom') }", "process.exit(3)"]) {
    const url = URL.createObjectURL(new Blob([code]));
    const pool = new ReaderPool(
      1,
      () => new Worker(url),
      START,
      () => {},
    );
    pool.submit(jobOf(0));
    await pool.answered();
    expect(pool.failed).not.toBeNull();
    await pool.end();
    URL.revokeObjectURL(url);
  }
}, 10_000);
