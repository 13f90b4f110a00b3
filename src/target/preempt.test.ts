import { afterEach, expect, test } from "bun:test";
import { defaultTapeIdentity } from "../scsi/inquiry.ts";
import { SscUnit } from "../scsi/unit/ssc.ts";
import { STATUS_RESERVATION_CONFLICT, type Task } from "../scsi/unit/task.ts";
import { FakeTapePort } from "../scsi/unit/testing.ts";
import { Target } from "./front-loop.ts";
import { TARGET, TestClient } from "./testing/client.ts";
import { closeStarted, opened } from "./testing/started.ts";

afterEach(closeStarted);

/** A tape that never ends to rewind. */
class EndlessPort extends FakeTapePort {
  override submit(task: Task): void {
    if (task.tape.operation !== "rewind") super.submit(task);
  }
}

test("SPC-5 §5.14.11.2.6: PREEMPT AND ABORT over the wire: the other's command ends without an answer, then it is told", () => {
  let target: Target | null = null;
  const unit = new SscUnit({
    identity: defaultTapeIdentity("UND0000001"),
    port: new EndlessPort(),
    announcesPowerOn: false,
    abortTasksOf: (port) => target?.abortTasksOf(port, 0),
  });
  const started = new Target({ iqn: TARGET, address: "127.0.0.1", port: 0, units: new Map([[0, unit]]) });
  target = started;
  opened.push({ close: () => started.stop() });
  const connect = (isid: number): TestClient => {
    const client = new TestClient(started);
    opened.push(client);
    client.login({ isid });
    return client;
  };
  const out = (client: TestClient, action: number, type: number, key: number, actionKey: number): number => {
    const list = new Uint8Array(24);
    list[7] = key;
    list[15] = actionKey;
    client.command([0x5f, action, type, 0, 0, 0, 0, 0, 24, 0], "write", 24, { immediateData: list });
    return client.next().status;
  };
  const [holder, other] = [connect(1), connect(2)];
  expect(out(holder, 0, 0, 0, 1)).toBe(0);
  expect(out(other, 0, 0, 0, 2)).toBe(0);
  expect(out(holder, 1, 3, 1, 0)).toBe(0);
  other.command([1], "none", 0);
  expect(other.next().status).toBe(STATUS_RESERVATION_CONFLICT);
  holder.command([1], "none", 0);
  expect(holder.poll()).toBeUndefined();
  expect(started.sessions().map(({ openTasks }) => openTasks)).toEqual([1, 0]);
  expect(out(other, 5, 3, 2, 1)).toBe(0);
  expect(started.sessions().map(({ openTasks }) => openTasks)).toEqual([0, 0]);
  holder.command([0], "none", 0);
  const told = holder.next();
  expect([told.status, told.data[4], told.data[14], told.data[15]]).toEqual([2, 6, 0x2a, 0x05]);
  holder.command([0x19], "none", 0);
  expect(holder.next().status).toBe(STATUS_RESERVATION_CONFLICT);
});
