import { expect, test } from "bun:test";
import { TERMS } from "../iscsi/negotiate.ts";
import { formatText, type TextPair } from "../iscsi/text.ts";
import { type LoginContext, LoginExchange } from "./login.ts";

const context: LoginContext = {
  targetName: "iqn.2026-01.example:library",
  targetAlias: "",
  portalGroupTag: 1,
  terms: { ...TERMS, authMethods: ["CHAP"] },
  connectionOf: () => null,
  authenticator: (method, name) => ({
    step: (pairs) => {
      const response = pairs.find(([key]) => key === "CHAP_R")?.[1];
      if (response === undefined) return { kind: "more", reply: [["CHAP_C", `${method} for ${name}`]] };
      return response === "right" ? { kind: "passed", reply: [] } : { kind: "failed", cause: "wrong secret" };
    },
  }),
};

const names: TextPair[] = [
  ["InitiatorName", "iqn.2026-01.example:host"],
  ["TargetName", context.targetName],
];

function ask(exchange: LoginExchange, currentStage: number, nextStage: number, pairs: readonly TextPair[]) {
  return exchange.step({
    transit: true,
    continues: false,
    currentStage,
    nextStage,
    versionMin: 0,
    isidHigh: 1,
    isidLow: 1,
    tsih: 0,
    cid: 0,
    text: formatText(pairs),
  });
}

test("RFC 7143 §6.3.3: a method beyond None is a step of the security stage, which ends only when it has passed", () => {
  const exchange = new LoginExchange(context);
  const first = ask(exchange, 0, 1, [...names, ["AuthMethod", "CHAP,None"]]);
  expect(first).toMatchObject({ status: 0, transit: false });
  expect(first.pairs).toContainEqual(["AuthMethod", "CHAP"]);
  const second = ask(exchange, 0, 1, [["CHAP_A", "5"]]);
  expect(second).toMatchObject({
    status: 0,
    transit: false,
    pairs: [["CHAP_C", "CHAP for iqn.2026-01.example:host"]],
  });
  expect(ask(exchange, 0, 1, [["CHAP_R", "right"]])).toMatchObject({
    status: 0,
    transit: true,
    nextStage: 1,
  });
  const last = ask(exchange, 1, 3, [["InitialR2T", "No"]]);
  expect(last).toMatchObject({ status: 0, done: true });
  expect(last.pairs).toContainEqual(["InitialR2T", "No"]);
});

test("§11.13.5: a wrong secret, a method that is not ours, the stage passed over: 0201", () => {
  const wrong = new LoginExchange(context);
  ask(wrong, 0, 1, [...names, ["AuthMethod", "CHAP"]]);
  ask(wrong, 0, 1, [["CHAP_A", "5"]]);
  expect(ask(wrong, 0, 1, [["CHAP_R", "wrong"]]).status).toBe(0x0201);
  expect(ask(new LoginExchange(context), 0, 1, [...names, ["AuthMethod", "None"]]).status).toBe(0x0201);
  expect(ask(new LoginExchange(context), 1, 3, names).status).toBe(0x0201);
});

test("§6.3: ISID, TSIH, CID and stage stay as they were; a login does not go on for ever", () => {
  const exchange = new LoginExchange({ ...context, terms: TERMS });
  expect(ask(exchange, 0, 1, names)).toMatchObject({ status: 0, transit: true });
  expect(ask(exchange, 0, 1, []).status).toBe(0x0200);
  const endless = new LoginExchange({ ...context, terms: TERMS });
  const again = () => endless.step({ ...request, text: formatText([]) });
  const request = {
    transit: false,
    continues: false,
    currentStage: 0,
    nextStage: 0,
    versionMin: 0,
    isidHigh: 1,
    isidLow: 1,
    tsih: 0,
    cid: 0,
  };
  endless.step({ ...request, text: formatText(names) });
  let status = 0;
  for (let count = 0; count < 100 && status === 0; count++) status = again().status;
  expect(status).toBe(0x0200);
  expect(new LoginExchange(context).step({ ...request, versionMin: 1, text: formatText(names) }).status).toBe(
    0x0205,
  );
});
