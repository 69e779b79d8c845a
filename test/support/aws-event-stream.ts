/** Writes messages of `application/vnd.amazon.eventstream`, for fixtures and for damage done to them. */
import { crc32 } from "node:zlib";

export type Headers = Readonly<Record<string, string>>;

/** A header of any type: name, type number, value bytes. */
export function header(name: string, type: number, value: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(name)]), Buffer.from(name), Buffer.from([type]), value]);
}

function textHeader(name: string, value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(value));
  return header(name, 7, Buffer.concat([length, Buffer.from(value)]));
}

/** One message around header bytes that are already made. */
export function frame(headers: Uint8Array, payload: Uint8Array): Buffer {
  const prelude = Buffer.alloc(8);
  prelude.writeUInt32BE(16 + headers.length + payload.length, 0);
  prelude.writeUInt32BE(headers.length, 4);
  const body = Buffer.concat([prelude, checksum(prelude), headers, payload]);
  return Buffer.concat([body, checksum(body)]);
}

function checksum(bytes: Uint8Array): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum;
}

export function message(headers: Headers, payload: unknown): Buffer {
  const bytes = Object.entries(headers).map(([name, value]) => textHeader(name, value));
  return frame(Buffer.concat(bytes), Buffer.from(JSON.stringify(payload)));
}

export function event(type: string, payload: unknown): Buffer {
  return message({ ":event-type": type, ":content-type": "application/json", ":message-type": "event" }, payload);
}

export function exception(type: string, payload: unknown): Buffer {
  return message(
    { ":exception-type": type, ":content-type": "application/json", ":message-type": "exception" },
    payload,
  );
}

/** A line of a fixture's source: `[event, payload]`, `["!exception", payload]` or `["?code", text]` for an error. */
export type SourceLine = readonly [string, unknown];

export function messages(lines: readonly SourceLine[]): Buffer {
  return Buffer.concat(
    lines.map(([name, payload]) => {
      if (name.startsWith("!")) return exception(name.slice(1), payload);
      if (!name.startsWith("?")) return event(name, payload);
      const told = { ":error-code": name.slice(1), ":error-message": String(payload) };
      return message({ ":message-type": "error", ...told }, {});
    }),
  );
}
