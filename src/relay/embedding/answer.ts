/**
 * A joined answer: the text of each part as bytes, written one after the other.
 *
 * Parts wait as bytes, off the heap, in the form in which they leave: an answer of 2,048 vectors is 17 MB of them.
 */
import { MAX_ANSWER_BYTES } from "../../embedding/parts.ts";
import { type PackedVector, pack, type RawVector, type VectorFormat, writeVector } from "../../embedding/vectors.ts";
import { RouterError } from "../../http/errors.ts";
import { isJsonObject, JsonEdit } from "../../lib/json.ts";
import type { OperationAnswer } from "../types.ts";

type Json = Readonly<Record<string, unknown>>;

/** Vectors that are made into text at once. */
const VECTORS_AT_ONCE = 32;
/** Above it the answer is sent as a stream. */
const SHORT_BYTES = 262_144;

const encoder = new TextEncoder();

/** Bytes of the items of one part, the comma between two of them included. */
export function writeItems(
  vectors: readonly RawVector[],
  start: number,
  { format, isShort }: { readonly format: VectorFormat; readonly isShort: boolean },
): readonly Uint8Array[] | null {
  const pieces: Uint8Array[] = [];
  for (let from = 0; from < vectors.length; from += VECTORS_AT_ONCE) {
    const texts: string[] = [];
    for (const [at, vector] of vectors.slice(from, from + VECTORS_AT_ONCE).entries()) {
      const packed: PackedVector | null = pack(vector, format);
      if (packed === null) return null;
      const text = writeVector(packed, isShort);
      texts.push(`{"object":"embedding","index":${start + from + at},"embedding":${text}}`);
    }
    pieces.push(encoder.encode(`${start + from === 0 ? "" : ","}${texts.join(",")}`));
  }
  return pieces;
}

/** What the end of an answer says. */
export interface AnswerTail {
  readonly model: string;
  readonly usage: () => Json;
}

/** `parts` in the order of the inputs. */
export function joinedAnswer(parts: readonly (readonly Uint8Array[])[], tail: AnswerTail): OperationAnswer {
  return {
    respond(flow, headers) {
      const { model, usage } = tail;
      const end = `],"model":${JSON.stringify(model)},"usage":${JSON.stringify(usage())},"flow":${JSON.stringify(flow)}}`;
      const pieces = [encoder.encode('{"object":"list","data":['), ...parts.flat(), encoder.encode(end)];
      const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
      return respondWith(pieces, bytes, headers);
    },
  };
}

function respondWith(pieces: Uint8Array[], bytes: number, headers: Record<string, string>): Response {
  if (bytes <= SHORT_BYTES) return new Response(new Blob(pieces as Uint8Array<ArrayBuffer>[]), { headers });
  // Each piece is let go when it is on its way.
  pieces.reverse();
  const readable = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = pieces.pop();
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
  });
  return new Response(readable, { headers });
}

/** The provider's own text, with `flow`, and with `usage` and `model` where it left them out. */
export function nativeAnswer(text: string, body: Json, { model, usage }: AnswerTail): OperationAnswer {
  return {
    respond(flow, headers) {
      const more = {
        ...(typeof body["model"] === "string" ? {} : { model }),
        ...(isCounted(body["usage"]) ? {} : { usage: usage() }),
        flow,
      };
      return new Response(withMembers(text, body, more), { headers });
    },
  };
}

/** Some give a total alone, and some zero where they do not count. */
function isCounted(usage: unknown): boolean {
  return isJsonObject(usage) && typeof usage["prompt_tokens"] === "number" && usage["prompt_tokens"] > 0;
}

/** A long text is not scanned for its members where none of them has to be replaced. */
function withMembers(text: string, body: Json, members: Json): string {
  const isNew = Object.keys(members).every((name) => !Object.hasOwn(body, name));
  const end = text.lastIndexOf("}");
  if (isNew && Object.keys(body).length > 0) return `${text.slice(0, end)},${JSON.stringify(members).slice(1)}`;
  const edit = new JsonEdit(text);
  for (const [name, value] of Object.entries(members)) edit.set(name, value);
  return edit.toString();
}

const MIB = 1_048_576;

export function answerTooLarge(count: number, dimensions: number, fitting: number): RouterError {
  const message = `An answer may have ${MAX_ANSWER_BYTES / MIB} MiB: ${count} vectors of ${dimensions} dimensions are more. Send at most ${fitting} inputs in one request, or ask for \`encoding_format: "base64"\` or fewer \`dimensions\`.`;
  return new RouterError("request_too_large", message, { param: "input", details: { max_inputs: fitting } });
}
