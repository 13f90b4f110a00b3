import { describe, expect, test } from "bun:test";
import { ChapInitiator, ChapTarget, chapResponse, chapTargetFor, decodeBinary } from "./chap.ts";
import type { TextPair } from "./text.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const host = { user: "host", secret: bytes("correct horse battery") };
const library = { user: "library", secret: bytes("staple and then some") };
const value = (pairs: readonly TextPair[], key: string) => pairs.find((pair) => pair[0] === key)?.[1] ?? "";
const reply = (step: { kind: string; reply?: TextPair[] }) => step.reply ?? [];

describe("RED-01: CHAP (RFC 7143 §12.1.3, RFC 1994 §4.1)", () => {
  test("the response is the hash of identifier, secret and challenge", () => {
    const challenge = Uint8Array.of(0, 1, 2, 3);
    const whole = Buffer.concat([Uint8Array.of(0x27), bytes("abcdefghijkl"), challenge]);
    const due = (name: "md5" | "sha1" | "sha256") => new Bun.CryptoHasher(name).update(whole).digest("hex");
    const ours = (algorithm: number) =>
      Buffer.from(chapResponse(algorithm, 0x27, bytes("abcdefghijkl"), challenge)).toString("hex");
    expect([5, 6, 7].map(ours)).toEqual([due("md5"), due("sha1"), due("sha256")]);
  });

  test.each(["5", "6", "7"])(
    "one-way, algorithm %s: the right secret passes, another secret, another user do not",
    (algorithm) => {
      const run = (own: typeof host) => {
        const target = new ChapTarget(host, null);
        const initiator = new ChapInitiator(own, null);
        expect(initiator.offer()).toEqual([["CHAP_A", "5,6,7"]]);
        const challenge = target.step([["CHAP_A", `99,${algorithm},5`]]);
        expect(value(reply(challenge), "CHAP_A")).toBe(algorithm);
        return target.step(reply(initiator.step(reply(challenge))));
      };
      expect(run(host)).toEqual({ kind: "passed", reply: [] });
      expect(run({ ...host, secret: library.secret }).kind).toBe("failed");
      expect(run({ ...host, user: "other" }).kind).toBe("failed");
    },
  );

  test("mutual: the target proves itself; one that cannot is refused by the initiator", () => {
    const run = (target: ChapTarget, mutual: typeof library) => {
      const initiator = new ChapInitiator(host, mutual);
      const proof = target.step(reply(initiator.step(reply(target.step(initiator.offer())))));
      expect(initiator.passed).toBe(false);
      const end = initiator.step(reply(proof));
      return [proof.kind, end.kind, initiator.passed];
    };
    expect(run(new ChapTarget(host, library), library)).toEqual(["passed", "passed", true]);
    expect(run(new ChapTarget(host, { ...library, secret: host.secret }), library)[2]).toBe(false);
    expect(run(new ChapTarget(host, { ...library, user: "else" }), library)).toEqual([
      "passed",
      "failed",
      false,
    ]);
    expect(run(new ChapTarget(host, null), library)[0]).toBe("failed");
  });

  test("§9.2.1: a challenge that comes back, and one secret for both directions, are refused", () => {
    const target = new ChapTarget(host, library);
    const asked = reply(target.step([["CHAP_A", "5"]]));
    const challenge = decodeBinary(value(asked, "CHAP_C")) ?? bytes("");
    const response = chapResponse(5, Number(value(asked, "CHAP_I")), host.secret, challenge);
    const reflected: TextPair[] = [
      ["CHAP_N", "host"],
      ["CHAP_R", `0x${Buffer.from(response).toString("hex")}`],
      ["CHAP_I", "9"],
      ["CHAP_C", `0b${Buffer.from(challenge).toString("base64")}`],
    ];
    expect(target.step(reflected)).toEqual({
      kind: "failed",
      cause: "CHAP: the target's own challenge came back",
    });
    const same = new ChapInitiator(host, { ...library, secret: host.secret });
    const again = new ChapTarget(host, library);
    expect(same.step(reply(again.step(same.offer()))).kind).toBe("failed");
  });

  test("nonsense in any key fails, and no cause tells a secret", () => {
    const nonsense: TextPair[][] = [
      [],
      [["CHAP_A", "4,9,x"]],
      [
        ["CHAP_A", "5"],
        ["CHAP_A", "5"],
      ],
    ];
    for (const pairs of nonsense) expect(new ChapTarget(host, null).step(pairs).kind).toBe("failed");
    for (const response of ["", "0x", "0x0", "0xzz", "0b=", "plain", `0x${"00".repeat(16)}`]) {
      const target = new ChapTarget(host, library);
      target.step([["CHAP_A", "5"]]);
      const end = target.step([
        ["CHAP_N", "host"],
        ["CHAP_R", response],
      ]);
      expect(end.kind).toBe("failed");
      expect(JSON.stringify(end)).not.toContain("correct horse");
    }
    for (const challenge of ["0x", `0x${"00".repeat(1025)}`, "x"]) {
      const initiator = new ChapInitiator(host, null);
      const step = initiator.step([
        ["CHAP_A", "5"],
        ["CHAP_I", "1"],
        ["CHAP_C", challenge],
      ]);
      expect(step.kind).toBe("failed");
    }
  });

  test("entries are by initiator name; who has none has nothing to authenticate with", () => {
    const access = { entries: [{ initiator: "iqn.2026-01.example:Host", ...host }], mutual: null };
    expect(chapTargetFor(access, "CHAP", "iqn.2026-01.example:host")).not.toBeNull();
    expect(chapTargetFor(access, "CHAP", "iqn.2026-01.example:other")).toBeNull();
    expect(chapTargetFor(access, "SRP", "iqn.2026-01.example:host")).toBeNull();
  });
});
