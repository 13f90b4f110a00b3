/** @module The parsers of replies, gathered for an initiator. Each takes what arrived, however short, and never throws. */
export { parseInquiry, parseVpd80, parseVpd83 } from "./inquiry.ts";
export { parseSense, senseText } from "./sense.ts";
export { attributeText, parseAttributes } from "./unit/attributes.ts";
export { parseElementAddresses } from "./unit/changer-modes.ts";
export { parseElementStatus } from "./unit/element-status.ts";
export { logNumber, logText, parseLogPage, tapeAlerts } from "./unit/log.ts";
export { parseModeSense } from "./unit/mode.ts";
export { parseReportLuns } from "./unit/report-luns.ts";
export {
  parseReadPositionExtended,
  parseReadPositionLong,
  parseReadPositionShort,
} from "./unit/tape-position.ts";
