/** What the programs share: where the router is, and one JSON line per check on the standard output. */
import assert from "node:assert/strict";

export const URL_ROOT = process.env.FLOW_TEST_URL;
export const BASE_URL = `${URL_ROOT}/v1`;
export const KEY = process.env.FLOW_TEST_KEY;

const print = (line) => console.log(JSON.stringify(line));

/** Runs `body` and prints whether it returned. */
export async function check(name, body) {
  try {
    await body();
    print({ check: name, ok: true });
  } catch (error) {
    print({ check: name, ok: false, detail: String(error?.stack ?? error).slice(0, 1500) });
  }
}

export function finished() {
  print({ check: "all checks ran", ok: true });
}

/** The error that `body` rejects with. */
export async function rejection(body) {
  try {
    await body();
  } catch (error) {
    return error;
  }
  assert.fail("it did not reject");
}

/** A picture of one pixel, and the smallest document that passes for a PDF. */
export const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
export const PDF = Buffer.from("%PDF-1.4\n1 0 obj<</Type/Pages/Count 1>>endobj\ntrailer<<>>\n%%EOF\n").toString(
  "base64",
);
