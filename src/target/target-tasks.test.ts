import { ptr } from "bun:ffi";
import { afterEach, describe, expect, test } from "bun:test";
import { checked, libc } from "../base/ffi.ts";
import * as pdu from "../iscsi/pdu.ts";
import * as requests from "../iscsi/requests.ts";
import { COMMANDS_MAX } from "./tasks.ts";
import type { TestClient } from "./testing/client.ts";
import { cdbOf, HANG, TEST_UNIT_READY, WRITE } from "./testing/fake-unit.ts";
import { closeStarted, equal, pattern, session, start } from "./testing/started.ts";

afterEach(closeStarted);

describe("the command window (RFC 7143 §4.2.2.1)", () => {
  test("RED-17: closed, it still answers NOPs and immediate commands; commands beyond it are ignored", () => {
    const { client, unit } = session();
    for (let index = 0; index < COMMANDS_MAX; index++) client.command(cdbOf(HANG, 0), "none", 0);
    client.nop();
    expect(client.maxCmdSN).toBe(client.cmdSN - 1);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.poll(20)).toBeUndefined();
    client.cmdSN--;
    const pinged = client.nop(pattern(777));
    expect(equal(pinged.data, pattern(777))).toBe(true);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0, { immediate: true });
    expect(client.next().status).toBe(0);
    expect(unit.unfinished).toHaveLength(COMMANDS_MAX);
    for (const task of unit.unfinished.splice(0)) task.complete(0);
    for (let index = 0; index < COMMANDS_MAX; index++) expect(client.next().status).toBe(0);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.next().status).toBe(0);
  });

  test("a CmdSN below the window is ignored; a missing one ends the session at error recovery level 0", () => {
    const { client } = session();
    client.cmdSN = (client.cmdSN - 1) >>> 0;
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.poll(20)).toBeUndefined();
    client.nop();
    client.cmdSN += 3;
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    client.expectClosed();
  });

  test("too many immediate commands: Reject, reason 06h", () => {
    const { client } = session();
    for (let index = 0; index < COMMANDS_MAX; index++) client.command(cdbOf(HANG, 0), "none", 0);
    for (let index = 0; index < 8; index++) client.command(cdbOf(HANG, 0), "none", 0, { immediate: true });
    client.command(cdbOf(HANG, 0), "none", 0, { immediate: true });
    const received = client.next();
    expect([received.opcode, received.response]).toEqual([pdu.OP_REJECT, pdu.REJECT_TOO_MANY_IMMEDIATE]);
  });

  test("an ITT in use: Reject, reason 07h", () => {
    const { client } = session();
    client.command(cdbOf(HANG, 0), "none", 0);
    client.itt--;
    client.command(cdbOf(HANG, 0), "none", 0);
    expect(client.next().response).toBe(pdu.REJECT_TASK_IN_PROGRESS);
  });
});

describe("task management (RFC 7143 §11.5)", () => {
  test("ABORT TASK: no answer to the task, its data still on the way is swallowed", () => {
    const { client, unit } = session();
    const itt = client.command(cdbOf(WRITE, 2000), "write", 2000);
    const r2t = client.next();
    const response = client.manage(pdu.TMF_ABORT_TASK, itt);
    expect([response.opcode, response.response]).toEqual([pdu.OP_TASK_MANAGEMENT_RESPONSE, pdu.TMF_COMPLETE]);
    client.dataOut(itt, r2t.field(pdu.AT_TTT), 0, 0, pattern(2000), true);
    expect(unit.memory.bytes[1 << 20]).toBe(0);
    client.nop();
    expect(unit.aborted).toHaveLength(1);
    expect(client.manage(pdu.TMF_ABORT_TASK, itt).response).toBe(pdu.TMF_NO_TASK);
    expect(unit.memory.bytes[(1 << 20) + 5]).toBe(0);
  });

  test("a port that finishes an aborted task later keeps its place in the pool until then", () => {
    const { client, unit, target } = session();
    unit.abortAtOnce = false;
    const itt = client.command(cdbOf(HANG, 0), "none", 0);
    expect(client.manage(pdu.TMF_ABORT_TASK, itt).response).toBe(pdu.TMF_COMPLETE);
    expect(target.sessions()[0]?.openTasks).toBe(1);
    unit.aborted[0]?.complete(0);
    client.nop();
    expect(target.sessions()[0]?.openTasks).toBe(0);
  });

  test("sets and resets reach every session; what is not there is told", () => {
    const { client, connect, unit } = session();
    const other = connect();
    other.login({ isid: 9 });
    const hang = (): void => {
      client.command(cdbOf(HANG, 0), "none", 0);
      other.command(cdbOf(HANG, 0), "none", 0);
      client.nop();
      other.nop();
    };
    hang();
    expect(client.manage(pdu.TMF_ABORT_TASK_SET).response).toBe(pdu.TMF_COMPLETE);
    expect(unit.aborted).toHaveLength(1);
    expect(client.manage(pdu.TMF_CLEAR_TASK_SET).response).toBe(pdu.TMF_COMPLETE);
    expect(unit.aborted).toHaveLength(2);
    hang();
    expect(client.manage(pdu.TMF_LOGICAL_UNIT_RESET).response).toBe(pdu.TMF_COMPLETE);
    expect(unit.aborted).toHaveLength(4);
    expect(unit.resets).toEqual(["lun"]);
    expect(client.manage(pdu.TMF_LOGICAL_UNIT_RESET, pdu.TAG_NONE, 5).response).toBe(pdu.TMF_NO_LUN);
    expect(client.manage(pdu.TMF_TARGET_WARM_RESET).response).toBe(pdu.TMF_COMPLETE);
    expect(unit.resets).toEqual(["lun", "target"]);
    expect(client.manage(pdu.TMF_TASK_REASSIGN).response).toBe(pdu.TMF_REASSIGN_NOT_SUPPORTED);
    expect(client.manage(pdu.TMF_CLEAR_ACA).response).toBe(pdu.TMF_NOT_SUPPORTED);
    expect(client.manage(pdu.TMF_TARGET_COLD_RESET).response).toBe(pdu.TMF_COMPLETE);
    client.expectClosed();
    other.expectClosed();
  });
});

describe("ends and errors", () => {
  test("§11.14: logout of the session; a wrong CID; recovery", () => {
    const { client, target, unit } = session();
    const logout = (reason: number, cid: number) => {
      client.send((view) => requests.encodeLogout(view, 0, true, reason, ++client.itt, cid, client.cmdSN, 0));
      return client.next();
    };
    expect(logout(pdu.LOGOUT_CONNECTION, 7).response).toBe(pdu.LOGOUT_NO_CID);
    expect(logout(pdu.LOGOUT_RECOVERY, 0).response).toBe(pdu.LOGOUT_RECOVERY_NOT_SUPPORTED);
    client.command(cdbOf(HANG, 0), "none", 0);
    expect(logout(pdu.LOGOUT_SESSION, 0).response).toBe(pdu.LOGOUT_DONE);
    client.expectClosed();
    expect(unit.aborted).toHaveLength(1);
    expect(unit.lost).toHaveLength(1);
    expect(target.sessions()).toEqual([]);
  });

  test("a connection that drops with half-received writes: abort for each, then nexusLost; the place stays as it was", () => {
    const { client, unit, target } = session();
    unit.placeAtOnce = false;
    client.command(cdbOf(WRITE, 5000), "write", 5000, { immediateData: pattern(2000), final: false });
    unit.placeAtOnce = true;
    client.command(cdbOf(WRITE, 900_000), "write", 900_000, { immediateData: pattern(1000), final: true });
    client.next();
    unit.abortAtOnce = false;
    client.close();
    target.pollOnce(10);
    target.pollOnce(10);
    expect(unit.aborted).toHaveLength(2);
    expect(unit.lost).toHaveLength(1);
    const [first] = unit.aborted;
    if (first) unit.place(first);
    target.pollOnce(0);
    expect(unit.written).toHaveLength(0);
    for (const task of unit.aborted) task.complete(0);
    target.stop();
    expect(target.stopped).toBe(true);
  });

  test("SNACK, an unknown opcode, a login in full feature phase, both directions: Reject with the header in it", () => {
    const { client } = session();
    client.send((view) => requests.encodeSnack(view, 0, 0, 0, 1, 2, 0, 0, 0));
    const snack = client.next();
    expect([snack.opcode, snack.response, snack.data[0]]).toEqual([
      pdu.OP_REJECT,
      pdu.REJECT_SNACK,
      pdu.OP_SNACK,
    ]);
    client.send((view) => pdu.clearHeader(view, 0, 0x1c, 0x80));
    expect(client.next().response).toBe(pdu.REJECT_NOT_SUPPORTED);
    client.send((view) => requests.encodeLogin(view, 0, true, false, 1, 3, 0, 0, 0, 1, 0, 1, 1, 0));
    expect(client.next().response).toBe(pdu.REJECT_PROTOCOL_ERROR);
    client.send((view) => {
      requests.encodeScsiCommand(view, 0, 0xe1, 0, 5, 4, client.cmdSN++, 0, Uint8Array.of(WRITE), 0);
    });
    expect(client.next().response).toBe(pdu.REJECT_NOT_SUPPORTED);
    client.nop();
  });

  test("§11.2.2: a CDB of more than 16 bytes is an invalid operation code; a torn AHS is rejected", () => {
    const { client } = session();
    client.command([0x7f], "none", 0, { ahs: Uint8Array.of(0, 17, 1, 0, ...new Array(16).fill(9)) });
    const answer = client.next();
    expect([answer.status, answer.data[14]]).toEqual([2, 0x20]);
    client.command([0x7f], "none", 0, { ahs: Uint8Array.of(0xff, 0xff, 1, 0) });
    expect(client.next().response).toBe(pdu.REJECT_INVALID_FIELD);
    client.command(cdbOf(TEST_UNIT_READY, 0), "none", 0);
    expect(client.next().status).toBe(0);
  });

  const broken: [string, (client: TestClient, itt: number, ttt: number) => void][] = [
    ["wrong TTT", (client, itt, ttt) => client.dataOut(itt, ttt + 256, 0, 0, pattern(100), true)],
    ["too much", (client, itt, ttt) => client.dataOut(itt, ttt, 0, 0, pattern(1001), true)],
    ["unsolicited after F", (client, itt) => client.dataOut(itt, pdu.TAG_NONE, 0, 0, pattern(10), true)],
    [
      "a segment longer than declared",
      (client, itt, ttt) =>
        client.send((view) => requests.encodeDataOut(view, 0, true, 0, itt, ttt, 0, 0, 0, 0xffffff)),
    ],
  ];
  for (const [what, send] of broken) {
    test(`§11.7: Data-Out with ${what} ends the connection`, () => {
      const { client, unit } = session();
      const itt = client.command(cdbOf(WRITE, 1000), "write", 1000);
      send(client, itt, client.next().field(pdu.AT_TTT));
      client.expectClosed();
      expect(unit.aborted).toHaveLength(1);
      expect(unit.memory.bytes[1 << 20]).toBe(0);
    });
  }

  const unordered: [string, number, (client: TestClient, itt: number, ttt: number) => void][] = [
    ["wrong offset", 0x47, (client, itt, ttt) => client.dataOut(itt, ttt, 0, 4, pattern(1000), true)],
    ["wrong DataSN", 0x47, (client, itt, ttt) => client.dataOut(itt, ttt, 7, 0, pattern(1000), true)],
    ["too little with F", 0x0c, (client, itt, ttt) => client.dataOut(itt, ttt, 0, 0, pattern(10), true)],
  ];
  for (const [what, asc, send] of unordered) {
    for (const late of [false, true]) {
      test(`§7.8: Data-Out with ${what} fails the command${late ? ", once its port is done with it" : ""}`, () => {
        const { client, unit, target } = session();
        unit.abortAtOnce = !late;
        const itt = client.command(cdbOf(WRITE, 1000), "write", 1000);
        send(client, itt, client.next().field(pdu.AT_TTT));
        if (late) {
          client.nop();
          unit.aborted[0]?.complete(0);
        }
        const answer = client.next();
        expect([answer.status, answer.data[4], answer.data[14]]).toEqual([2, 0x0b, asc]);
        expect(unit.aborted).toHaveLength(1);
        expect(unit.written).toHaveLength(0);
        expect(target.sessions()[0]?.openTasks).toBe(0);
      });
    }
  }

  test("a LUN that is not there: INQUIRY says so, anything else is LOGICAL UNIT NOT SUPPORTED; REPORT LUNS lists", () => {
    const { client } = session();
    client.command([0x12, 0, 0, 0, 36, 0], "read", 36, { lun: 3 });
    expect(client.next().data[0]).toBe(0x7f);
    client.command([0], "none", 0, { lun: 3 });
    expect([...client.next().data.subarray(14, 16)]).toEqual([0x25, 0]);
    client.command([0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0], "read", 256, { lun: 3 });
    const luns = client.next();
    expect(luns.data).toHaveLength(16);
    expect(luns.residual).toBe("underflow 240");
  });

  test("stop with a grace: an Asynchronous Message asks for logout, then the connection ends", () => {
    const { client, target } = session();
    target.stop(60);
    const message = client.next();
    expect([message.opcode, message.view.getUint8(pdu.AT_ASYNC_EVENT)]).toEqual([pdu.OP_ASYNC_MESSAGE, 1]);
    expect(target.stopped).toBe(false);
    client.expectClosed();
    expect(target.stopped).toBe(true);
  });

  test("an eventfd wakes the loop; places and completions from the callback go on in the same round; stop from there", () => {
    const { client, unit, target } = session();
    unit.placeAtOnce = false;
    unit.completeAtOnce = false;
    const fd = checked(libc.eventfd(0, 0o4000));
    let wakes = 0;
    target.onWake(fd, () => {
      wakes++;
      unit.placeAll();
      for (const task of unit.unfinished.splice(0)) task.complete(0);
      if (wakes === 3) target.stop();
    });
    const wake = (): void => {
      const one = BigUint64Array.of(1n);
      libc.write(fd, Number(ptr(one)), 8);
      target.pollOnce(1000);
    };
    client.command(cdbOf(WRITE, 100), "write", 100, { immediateData: pattern(100) });
    expect(client.poll(20)).toBeUndefined();
    wake();
    expect(unit.written).toHaveLength(1);
    expect(client.poll(20)).toBeUndefined();
    wake();
    expect(client.next().status).toBe(0);
    expect(wakes).toBe(2);
    expect(target.fdCount).toBe(3);
    wake();
    client.expectClosed();
    expect(target.stopped).toBe(true);
    libc.close(fd);
  });

  test("pings beyond what the initiator takes are cut; those that want no answer get none", () => {
    const { connect } = start();
    const client = connect();
    client.login({ keys: [["MaxRecvDataSegmentLength", "512"]] });
    expect(client.nop(pattern(1000)).data).toHaveLength(512);
    client.send((view) => requests.encodeNopOut(view, 0, true, 0, pdu.TAG_NONE, 5, client.cmdSN, 0, 0));
    expect(client.poll(10)).toBeUndefined();
    expect(client.nop(pattern(200_000)).data).toHaveLength(512);
  });
});
