import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readChapSecrets, readOwnSecrets } from "./secrets.ts";

const directory = mkdtempSync(join(tmpdir(), "understudy-secrets-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const initiator = "iqn.2026-01.example:host";
const of = (secretFile: string, mutualFile?: string) =>
  readChapSecrets({
    chap: [{ initiator, user: "host", secretFile }],
    mutualChap: mutualFile === undefined ? null : { user: "library", secretFile: mutualFile },
  });

test("RED-01: CHAP secrets come from files: the line end is not part of them, a mode open to others is told", () => {
  const good = of(file("good", "correct horse battery\r\n"));
  if (good.kind !== "secrets") throw new Error(good.text);
  expect(good.access?.entries.map(({ secret }) => Buffer.from(secret).toString())).toEqual([
    "correct horse battery",
  ]);
  expect(good.notes).toEqual([]);
  const open = of(file("open", "correct horse battery", 0o644));
  expect(open).toMatchObject({ kind: "secrets", notes: [expect.stringContaining("chmod 600")] });
  expect(readChapSecrets({ chap: [], mutualChap: null })).toMatchObject({ kind: "secrets", access: null });
});

test("RFC 7143 §9.2.1: fewer than 12 bytes, one secret for both directions, no file: refused, the secret not told", () => {
  const good = file("one", "correct horse battery");
  const refusals = [
    of(file("short", "hello world")),
    of(good, file("same", "correct horse battery\n")),
    of(join(directory, "none")),
    of(directory),
  ];
  const texts = refusals.map((refusal) => (refusal.kind === "refused" ? refusal.text : "let in"));
  expect(texts.map((text) => text.slice(text.indexOf(": ") + 2))).toEqual([
    "expected a secret of 12 to 255 bytes, found 11",
    "expected a secret of its own, found one that iscsi.chap has",
    "the secret cannot be read: ENOENT",
    "the secret cannot be read: EISDIR",
  ]);
  expect(texts.join()).not.toMatch(/hello world|correct horse/);
});

test("RED-33: secrets for targets of others: by target, else the one for all; what is wrong stops the start", () => {
  const own = { user: "us", secretFile: file("own", "correct horse battery") };
  const library = { user: "lib", secretFile: file("lib", "staple and then some") };
  const read = readOwnSecrets({
    chap: [
      { ...own, target: "iqn.2026-01.example:a", mutual: library },
      { ...library, target: null, mutual: null },
    ],
  });
  if (read.kind !== "secrets") throw new Error(read.text);
  expect(read.loginFor("iqn.2026-01.example:a")).toMatchObject({ user: "us", mutual: { user: "lib" } });
  expect(read.loginFor("iqn.2026-01.example:b")).toMatchObject({ user: "lib" });
  const none = readOwnSecrets(null);
  expect(none.kind === "secrets" && none.loginFor("iqn.2026-01.example:a")).toBe(null);
  const twice = readOwnSecrets({
    chap: [{ ...own, target: null, mutual: { ...library, secretFile: own.secretFile } }],
  });
  expect(twice).toMatchObject({ kind: "refused", text: expect.stringContaining("library.chap[1].mutual") });
  const gone = readOwnSecrets({
    chap: [{ user: "us", secretFile: join(directory, "none"), target: null, mutual: null }],
  });
  expect(gone).toMatchObject({ kind: "refused", text: expect.stringContaining("ENOENT") });
});
