/** The length of a text in UTF-8, without a copy of it. */

/** Measured at a time. A unit of UTF-16 has three bytes at most. */
const CHUNK_LENGTH = 16_384;
const encoder = new TextEncoder();
/** Overwritten by every call; nothing ever reads what it holds. */
const scratch = new Uint8Array(CHUNK_LENGTH * 3);

/** Bytes of `text` in UTF-8. Linear. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (let start = 0; start < text.length; ) {
    let end = Math.min(text.length, start + CHUNK_LENGTH);
    // A pair of surrogates stays together: its halves would count as three bytes each.
    if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end--;
    bytes += encoder.encodeInto(text.slice(start, end), scratch).written;
    start = end;
  }
  return bytes;
}
