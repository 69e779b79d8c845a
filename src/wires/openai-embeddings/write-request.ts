/** A request in OpenAI's protocol for one provider of it: the client's own text with what its row says changed. */
import { type InputWords, inputWord } from "../../embedding/input-type.ts";
import type { EmbeddingCall } from "../../providers/embeddings/adapter.ts";

/** How a provider's requests differ from OpenAI's. */
export interface EmbeddingsDialect {
  /** Its member for the length of vectors. `null`: it has none. Default `dimensions`. */
  readonly dimensions?: string | null;
  /** Its member for base64, with the value `base64`. Default `encoding_format`. `null`: it has none. */
  readonly encoding?: string | null;
  /** Its member for what a text is embedded for, and its words. `null`: it has none. Absent: as the client sent it. */
  readonly inputType?: { readonly member: string; readonly words: InputWords; readonly otherwise?: string } | null;
  /** The members it knows, for a provider that refuses all others: those are left out and named. */
  readonly knows?: readonly string[];
  /** Sent where neither client nor policy names them: without them a long text would be cut in silence. */
  readonly always?: Readonly<Record<string, string | boolean>>;
}

export interface WrittenEmbeddings {
  readonly body: string;
  /** Members of the client that this provider cannot be told. */
  readonly dropped: readonly string[];
}

/** Members that every row says how to write. */
const WRITTEN: ReadonlySet<string> = new Set([
  "model",
  "input",
  "dimensions",
  "encoding_format",
  "input_type",
  "route",
]);

export function writeRequest(call: EmbeddingCall, dialect: EmbeddingsDialect): WrittenEmbeddings {
  const { body, fields, params, isWhole, inputs, model } = call;
  body.set("model", model);
  if (!isWhole) body.set("input", inputs);
  // The policy's parameters fill what the client left out.
  for (const [name, value] of Object.entries({ ...dialect.always, ...params })) {
    if (!Object.hasOwn(fields, name) && !WRITTEN.has(name)) body.set(name, value);
  }
  writeShape(call, dialect);
  const dropped = [...writeInputType(call, dialect), ...dropUnknown(call, dialect)];
  return { body: body.toString(), dropped };
}

function writeShape({ body, fields, dimensions, format }: EmbeddingCall, dialect: EmbeddingsDialect): void {
  const { dimensions: length = "dimensions", encoding = "encoding_format" } = dialect;
  if (length !== "dimensions" || dimensions === undefined) body.remove("dimensions");
  if (length !== null && dimensions !== undefined) body.set(length, dimensions);
  const isOtherForm = format === "float" && fields["encoding_format"] === "base64";
  if (encoding !== "encoding_format" || isOtherForm) body.remove("encoding_format");
  if (encoding !== null && format === "base64") body.set(encoding, "base64");
}

/** The client's member where it cannot be said. */
function writeInputType({ body, fields, params }: EmbeddingCall, { inputType }: EmbeddingsDialect): readonly string[] {
  const word = fields["input_type"] ?? params["input_type"];
  if (inputType === undefined) {
    if (word !== undefined) body.set("input_type", word);
    return [];
  }
  if (inputType?.member !== "input_type") body.remove("input_type");
  const said = inputType !== null && typeof word === "string" ? inputWord(word, inputType.words) : null;
  if (inputType !== null) {
    const { member, otherwise } = inputType;
    const own = member === "input_type" ? undefined : (fields[member] ?? params[member]);
    const value = said ?? own ?? otherwise;
    if (value === undefined) body.remove(member);
    else body.set(member, value);
  }
  return said === null && Object.hasOwn(fields, "input_type") ? ["input_type"] : [];
}

/** What the client sent of it. */
function dropUnknown({ body, fields, params }: EmbeddingCall, dialect: EmbeddingsDialect): readonly string[] {
  const { knows } = dialect;
  if (knows === undefined) return [];
  const known = new Set([...knows, ...WRITTEN]);
  const unknown = Object.keys({ ...fields, ...params }).filter((name) => !known.has(name));
  for (const name of unknown) body.remove(name);
  return unknown.filter((name) => Object.hasOwn(fields, name));
}
