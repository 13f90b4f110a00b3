/** @module Entries as bytes and back: what the scan hands on, what the journal and the index keep. */
export { RecordDecoder } from "./record-decoder.ts";
export { RecordEncoder } from "./record-encoder.ts";
export { MalformedRecord } from "./varint.ts";
