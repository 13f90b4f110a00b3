/** @module Bun's JUnit report -> test cases. The report, not the text on the terminal, is what counts. */

const ENTITIES = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function plain(text) {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    return ENTITIES[name] ?? whole;
  });
}

function attribute(text, name) {
  return plain(new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1] ?? "");
}

/**
 * @param {string} xml
 * @returns {{ name: string, file: string, outcome: "passed" | "failed" | "skipped" }[]}
 */
export function testCases(xml) {
  return [...xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(
    ([, attributes = "", inside = ""]) => {
      const group = attribute(attributes, "classname");
      const name = attribute(attributes, "name");
      return {
        name: group === "" || group === name ? name : `${group} > ${name}`,
        file: attribute(attributes, "file"),
        outcome: /<(?:failure|error)\b/.test(inside)
          ? "failed"
          : /<skipped\b/.test(inside)
            ? "skipped"
            : "passed",
      };
    },
  );
}
