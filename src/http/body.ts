/**
 * The request body, from bytes to text: bounded in size and time, UTF-8 only.
 *
 * `checkHead` looks at headers alone and runs before the key record is read, so a bad request costs no I/O.
 */
import type { Deadlines } from "../lib/deadline.ts";
import { RouterError } from "./errors.ts";

const MIB = 1024 * 1024;
/** How long a body may take whatever its size, and the slowest average rate beyond that. */
const BODY_GRACE_MS = 10_000;
const MIN_BYTES_PER_MS = 100;

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i;

/** Throws 415 unless the body is declared as plain UTF-8 JSON, 413 when its declared length is too large. */
export function checkHead(headers: Headers, maxBytes: number): void {
  const type = headers.get("content-type");
  const encoding = headers.get("content-encoding");
  if (type === null || !JSON_TYPE.test(type) || (encoding !== null && encoding.toLowerCase() !== "identity")) {
    throw new RouterError(
      "unsupported_media_type",
      "Send the body as uncompressed UTF-8 JSON with the header `Content-Type: application/json`.",
    );
  }
  const declared = Number(headers.get("content-length") ?? 0);
  if (declared > maxBytes) throw tooLarge(maxBytes);
}

function tooLarge(maxBytes: number): RouterError {
  return new RouterError(
    "request_too_large",
    `The request body is larger than ${sizeText(maxBytes)}. Shorten the conversation or link to large files.`,
  );
}

const sizeText = (bytes: number): string => (bytes < MIB ? `${bytes / 1024} KiB` : `${bytes / MIB} MiB`);

// Fatal: the lenient decoder would silently turn broken bytes into U+FFFD. The byte order mark stays: JSON has none.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The body's text. Throws 413, or 400 for a body that stalls or is not UTF-8. */
export async function readBody(
  request: Request,
  receivedAt: number,
  deadlines: Deadlines,
  maxBytes: number,
): Promise<string> {
  const declared = request.headers.get("content-length");
  const bytes = await (declared === null
    ? readUncounted(request, receivedAt, deadlines, maxBytes)
    : readDeclared(request, receivedAt + allowedMs(Number(declared)), deadlines));
  try {
    return utf8.decode(bytes);
  } catch {
    throw new RouterError("invalid_json", "The request body is not valid UTF-8.");
  }
}

function allowedMs(bytes: number): number {
  return BODY_GRACE_MS + bytes / MIN_BYTES_PER_MS;
}

function tooLate(): RouterError {
  return new RouterError("invalid_request", "The request body took too long to arrive. Send it without pauses.");
}

/** A body whose length the runtime holds it to, already checked: one native read. */
async function readDeclared(request: Request, dueAt: number, deadlines: Deadlines): Promise<ArrayBuffer> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const deadline = deadlines.add(dueAt, () => reject(tooLate()));
  try {
    // A body the client cuts short rejects: nobody is left to read the answer.
    const read = request.arrayBuffer().catch(() => {
      throw tooLate();
    });
    return await Promise.race([read, late]);
  } finally {
    deadlines.drop(deadline);
  }
}

/** A chunked body: counted while it is read, and due later the more of it has come. */
async function readUncounted(
  request: Request,
  receivedAt: number,
  deadlines: Deadlines,
  maxBytes: number,
): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let isLate = false;
  const watch = (): void => {
    const dueAt = receivedAt + allowedMs(length);
    isLate = dueAt <= Date.now();
    if (isLate) void reader.cancel().catch(() => {});
    else deadline = deadlines.add(dueAt, watch);
  };
  let deadline = deadlines.add(receivedAt + BODY_GRACE_MS, watch);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.byteLength;
      if (length > maxBytes) throw tooLarge(maxBytes);
      chunks.push(value);
    }
  } catch (error) {
    void reader.cancel().catch(() => {});
    throw error instanceof RouterError ? error : tooLate();
  } finally {
    deadlines.drop(deadline);
  }
  if (isLate) throw tooLate();
  return concatenate(chunks, length);
}

function concatenate(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
