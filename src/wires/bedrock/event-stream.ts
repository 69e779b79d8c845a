/**
 * `application/vnd.amazon.eventstream`: bytes into messages, whatever the chunking.
 *
 * Layout: https://smithy.io/2.0/aws/amazon-eventstream.html. A message is a prelude (total length, header length, CRC32
 * of both), headers, payload, and the CRC32 of all before it. Never throws: the first fault ends the stream, because
 * behind a wrong length nothing can be found again. Linear: each byte is copied once, into the message it belongs to.
 */

/** A longer message is not part of a chat answer, pictures included. Amazon's own bound for a payload is 24 MiB. */
export const MAX_MESSAGE_BYTES = 8 * 1_048_576;

const PRELUDE_BYTES = 12;
const CHECKSUM_BYTES = 4;
const SMALLEST_MESSAGE_BYTES = PRELUDE_BYTES + CHECKSUM_BYTES;

/** Timestamps are epoch ms, like any 64-bit number a `bigint`; UUIDs are text. */
export type HeaderValue = boolean | number | bigint | string | Uint8Array;

export interface AwsMessage {
  readonly headers: ReadonlyMap<string, HeaderValue>;
  readonly payload: Uint8Array;
}

export type AwsStreamFault = "bad_prelude" | "bad_length" | "too_long" | "bad_checksum" | "bad_headers";

export class AwsEventStreamReader {
  readonly #prelude = new Uint8Array(PRELUDE_BYTES);
  /** The message being filled; `null` while its prelude is. */
  #message: Uint8Array | null = null;
  #filled = 0;
  #fault: AwsStreamFault | null = null;

  /** Why reading ended; `null` while it goes on. Nothing is read after a fault. */
  get fault(): AwsStreamFault | null {
    return this.#fault;
  }

  /** The bytes so far end inside a message. */
  get isMidMessage(): boolean {
    return this.#filled > 0;
  }

  /** The messages that `bytes` completes. */
  push(bytes: Uint8Array): AwsMessage[] {
    const messages: AwsMessage[] = [];
    let at = 0;
    while (at < bytes.length && this.#fault === null) {
      const target: Uint8Array = this.#message ?? this.#prelude;
      const count = Math.min(target.length - this.#filled, bytes.length - at);
      target.set(bytes.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled < target.length) break;
      if (this.#message === null) {
        this.#begin();
        continue;
      }
      const message = this.#finish(target);
      if (message !== null) messages.push(message);
    }
    return messages;
  }

  #begin(): void {
    const view = viewOf(this.#prelude);
    const total = view.getUint32(0);
    // The checksum first: after a flipped bit the length means nothing.
    if (crc32(this.#prelude.subarray(0, 8)) !== view.getUint32(8)) this.#fault = "bad_prelude";
    else if (total < SMALLEST_MESSAGE_BYTES || view.getUint32(4) > total - SMALLEST_MESSAGE_BYTES) {
      this.#fault = "bad_length";
    } else if (total > MAX_MESSAGE_BYTES) this.#fault = "too_long";
    else {
      this.#message = new Uint8Array(total);
      this.#message.set(this.#prelude);
    }
  }

  #finish(message: Uint8Array): AwsMessage | null {
    this.#message = null;
    this.#filled = 0;
    const view = viewOf(message);
    const end = message.length - CHECKSUM_BYTES;
    if (crc32(message.subarray(0, end)) !== view.getUint32(end)) {
      this.#fault = "bad_checksum";
      return null;
    }
    const headersEnd = PRELUDE_BYTES + view.getUint32(4);
    const headers = readHeaders(message.subarray(PRELUDE_BYTES, headersEnd));
    if (headers === null) {
      this.#fault = "bad_headers";
      return null;
    }
    return { headers, payload: message.subarray(headersEnd, end) };
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Bytes of a value by its type; -1: preceded by a 16-bit length. */
const VALUE_SIZES: readonly number[] = [0, 0, 1, 2, 4, 8, -1, -1, 8, 16];

/** `null` where the bytes are not headers from end to end. */
function readHeaders(bytes: Uint8Array): Map<string, HeaderValue> | null {
  const headers = new Map<string, HeaderValue>();
  const view = viewOf(bytes);
  const decoder = new TextDecoder();
  let at = 0;
  while (at < bytes.length) {
    const typeAt = at + 1 + (bytes[at] ?? 0);
    const type = bytes[typeAt];
    let size = type === undefined ? undefined : VALUE_SIZES[type];
    if (type === undefined || size === undefined) return null;
    let valueAt = typeAt + 1;
    if (size === -1) {
      if (valueAt + 2 > bytes.length) return null;
      size = view.getUint16(valueAt);
      valueAt += 2;
    }
    if (valueAt + size > bytes.length) return null;
    const name = decoder.decode(bytes.subarray(at + 1, typeAt));
    headers.set(name, readValue(type, view, bytes.subarray(valueAt, valueAt + size), valueAt));
    at = valueAt + size;
  }
  return headers;
}

function readValue(type: number, view: DataView, value: Uint8Array, at: number): HeaderValue {
  switch (type) {
    case 0:
      return true;
    case 1:
      return false;
    case 2:
      return view.getInt8(at);
    case 3:
      return view.getInt16(at);
    case 4:
      return view.getInt32(at);
    case 5:
    case 8:
      return view.getBigInt64(at);
    case 7:
      return new TextDecoder().decode(value);
    case 9:
      return hex(value).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    default:
      return value;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const CRC_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xed_b8_83_20 : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32 as in RFC 1952. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xff_ff_ff_ff;
  for (let at = 0; at < bytes.length; at++) {
    crc = (CRC_TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  }
  return (crc ^ 0xff_ff_ff_ff) >>> 0;
}
