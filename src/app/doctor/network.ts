/** @module What the doctor asks over the network: do the drives and changers of others answer, and are they what they should be?
 *  And of the secrets by which hosts prove who they are. */
import { readChapSecrets, readOwnSecrets } from "../../config/secrets.ts";
import type { Settings, UnitSettings } from "../../config.ts";
import { IscsiTransport } from "../../device/iscsi-transport.ts";
import { TapeDrive } from "../../device/tape-drive.ts";
import { Changer } from "../../workers/changer-worker.ts";
import type { Findings } from "./finding.ts";

const CONNECT_MS = 3000;
const ANSWER_MS = 10_000;
const TIMEOUTS = { commandMs: ANSWER_MS, writeMs: ANSWER_MS, movementMs: ANSWER_MS };
const DRIVE = 4;
const TODO = "is it switched on, and are portal, target and lun right?";

export function checkSecrets(settings: Settings, findings: Findings): void {
  const secrets = readChapSecrets(settings.iscsi);
  if (secrets.kind === "refused")
    findings.fault("CHAP", secrets.text, "the start would be refused: mend the file");
  else {
    for (const note of secrets.notes) findings.warning("CHAP", note, "let only the server's user read it");
    const count = settings.iscsi.chap.length;
    if (count > 0) findings.good("CHAP", `${count} initiators may log in`);
    else if (!/^(127\.|localhost$|::1$)/.test(settings.iscsi.host))
      findings.warning("CHAP", "everybody who reaches the portal may log in", "set iscsi.chap");
  }
}

/** Asks only what changes nothing: a drive in use goes on. */
export function checkForeign(settings: Settings, findings: Findings): void {
  const { foreign } = settings.library;
  if (foreign === null) return;
  const own = readOwnSecrets(foreign);
  if (own.kind === "refused") {
    findings.fault("library.chap", own.text, "the start would be refused: mend the file");
    return;
  }
  for (const note of own.notes) findings.warning("library.chap", note, "let only the server's user read it");
  const transportOf = (unit: UnitSettings) => {
    const { initiatorName } = foreign;
    const chap = own.loginFor(unit.targetName);
    return new IscsiTransport({ ...unit, initiatorName, chap, connectMs: CONNECT_MS });
  };
  const elements = foreign.changers.map((unit, index) => {
    const area = `changer ${index + 1}`;
    const transport = transportOf(unit);
    const told = new Changer(transport).elements();
    transport.close();
    if (told.kind === "problem") {
      findings.fault(area, told.text, TODO);
      return null;
    }
    const cartridges = told.elements.filter(({ barcode }) => barcode !== null).length;
    findings.good(area, `${transport.describe}: ${told.elements.length} elements, ${cartridges} cartridges`);
    return told.elements;
  });
  for (const [index, unit] of foreign.drives.entries()) {
    const area = `drive ${index + 1}`;
    const transport = transportOf(unit);
    const drive = new TapeDrive(transport, TIMEOUTS);
    const identity = drive.inquiry();
    const { cause } = drive.reply;
    transport.close();
    const known = elements[unit.changer];
    if (identity === null) findings.fault(area, `${transport.describe}: ${cause || "no answer"}`, TODO);
    else if (known && !known.some(({ type, address }) => type === DRIVE && address === unit.element))
      findings.fault(
        area,
        `changer ${unit.changer + 1} has no drive at element ${unit.element}`,
        `set library.drives[${index + 1}].changerElement`,
      );
    else
      findings.good(area, `${transport.describe}: ${identity.vendor} ${identity.product} ${identity.serial}`);
  }
}
