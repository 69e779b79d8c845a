/** `input` of a Responses request as turns: items that one side made one after the other are its turn. */
import type { Turn } from "../../conversation/conversation.ts";
import type { Json, Part } from "../../conversation/part.ts";
import { isJsonObject, wordOf } from "../../lib/json.ts";
import type { ToolName } from "../tool-names.ts";
import { GIVEN_OUT, mediaOf, oddPart, readClientResult, textOf, WIRE } from "./items.ts";
import { OutputParts } from "./read-output.ts";
import { leadingToolItems } from "./read-tools.ts";

/** `input` has passed the checks of `readRequest`. */
export function readItems(input: unknown, toolName: (item: Json) => ToolName): Turn[] {
  if (typeof input === "string") {
    return [{ role: "user", parts: input === "" ? [] : [{ kind: "text", text: input, path: "input" }], path: "input" }];
  }
  const turns = new Turns(toolName);
  const first = leadingToolItems(input);
  for (const [at, item] of (Array.isArray(input) ? input : []).entries()) {
    if (at >= first && isJsonObject(item)) turns.add(item, `input[${at}]`);
  }
  return turns.turns;
}

class Turns {
  readonly turns: Turn[] = [];
  readonly #toolName: (item: Json) => ToolName;
  /** The assistant's turn that is still open. */
  #output: OutputParts | null = null;
  /** Ids of earlier calls whose tool OpenAI defines and the client runs. */
  readonly #clientCalls = new Set<string>();

  constructor(toolName: (item: Json) => ToolName) {
    this.#toolName = toolName;
  }

  add(item: Json, path: string): void {
    const { type, role } = item;
    if ((type === undefined || type === "message") && role !== "assistant") {
      const isKnown = role === "user" || role === "system" || role === "developer";
      // Some provider may read a message of another role as the result of a tool.
      const unknown: Part = { kind: "opaque", wire: WIRE, type: wordOf(role), source: item, path: `${path}.role` };
      const parts = isKnown ? readContent(item["content"], `${path}.content`) : [unknown];
      this.#push({ role: isKnown ? role : "user", parts, path });
      return;
    }
    const result = this.#readResult(item, path);
    if (result !== null) {
      this.#push({ role: "tool", parts: [result], path });
      return;
    }
    const output = this.#assistant(path);
    const before = output.parts.length;
    if (!output.add(item, path)) {
      const place = `${path}.${wordOf(type)}`;
      output.parts.push({ kind: "opaque", wire: WIRE, type: wordOf(type), source: item, path: place });
    }
    const made = output.parts[before];
    if (made?.kind === "call" && made.bound?.data !== undefined) this.#clientCalls.add(made.id);
  }

  #readResult(item: Json, path: string): Part | null {
    const { type } = item;
    if (type === "function_call_output" || type === "custom_tool_call_output") {
      const name = textOf(item["name"]);
      return {
        kind: "result",
        path,
        callId: textOf(item["call_id"]) ?? "",
        ...(name === undefined ? {} : { name }),
        form: type === "custom_tool_call_output" ? "custom" : "function",
        parts: readOutput(item["output"], `${path}.output`),
      };
    }
    const result = readClientResult(item, path);
    // What a hosted shell printed belongs to the call that its provider made.
    if (result?.kind === "result" && type === "shell_call_output" && !this.#clientCalls.has(result.callId)) return null;
    return result;
  }

  #push(turn: Turn): void {
    this.#output = null;
    this.turns.push(turn);
  }

  #assistant(path: string): OutputParts {
    if (this.#output === null) {
      this.#output = new OutputParts(null, this.#toolName);
      this.turns.push({ role: "assistant", parts: this.#output.parts, path });
    }
    return this.#output;
  }
}

/** A client that sends its tool's object as it is means its text. */
function readOutput(output: unknown, path: string): Part[] {
  return isJsonObject(output) ? [{ kind: "text", text: JSON.stringify(output), path }] : readContent(output, path);
}

/** A string is one text part; empty texts are none. What is no part is opaque, as some provider may read it as one. */
function readContent(content: unknown, path: string): Part[] {
  if (typeof content === "string") return content === "" ? [] : [{ kind: "text", text: content, path }];
  if (content === undefined || content === null) return [];
  if (!Array.isArray(content)) return [oddPart(content, path)];
  return content.flatMap((part, at): Part[] => {
    const place = `${path}[${at}]`;
    if (typeof part === "string") return part === "" ? [] : [{ kind: "text", text: part, path: place }];
    if (!isJsonObject(part)) return [oddPart(part, place)];
    const read = readPart(part, place);
    if (read === null) return [];
    // The hint in the spelling that the other wires know; its only mode says the same.
    return [isJsonObject(part["prompt_cache_breakpoint"]) ? { ...read, cache: { type: "ephemeral" } } : read];
  });
}

function readPart(source: Json, path: string): Part | null {
  const type = wordOf(source["type"]);
  const opaque: Part = { kind: "opaque", wire: WIRE, type, source, path };
  switch (type) {
    case "input_text":
    case "output_text":
    case "text": {
      const { text } = source;
      if (typeof text !== "string") return opaque;
      return text === "" ? null : { kind: "text", text, path };
    }
    case "refusal":
      return typeof source["refusal"] === "string" ? { kind: "refusal", text: source["refusal"], path } : opaque;
    case "input_image": {
      const { image_url: url, file_id: id } = source;
      const detail = textOf(source["detail"]);
      const named = detail === undefined ? {} : { detail };
      // Written so by clients that come from chat completions.
      const address = isJsonObject(url) ? url["url"] : url;
      const isAddressed = typeof address === "string" && address !== "";
      // With both of them the provider chooses which it reads.
      if (isAddressed && (id === undefined || id === null)) {
        return { kind: "image", media: mediaOf(address), ...named, path };
      }
      if (typeof id !== "string" || id === "") return opaque;
      return { kind: "image", media: { kind: "id", id }, ...named, path, bound: GIVEN_OUT };
    }
    case "input_file":
      return readFile(source, path) ?? opaque;
    case "input_audio": {
      const audio = source["input_audio"];
      if (!isJsonObject(audio) || typeof audio["data"] !== "string") return opaque;
      const format = textOf(audio["format"]);
      const media = { kind: "base64", mediaType: `audio/${String(format)}`, data: audio["data"] } as const;
      return { kind: "audio", media, ...(format === undefined ? {} : { format }), path };
    }
    default:
      return opaque;
  }
}

function readFile(source: Json, path: string): Part | null {
  const { file_data: data, file_url: url, file_id: id } = source;
  const name = textOf(source["filename"]);
  const named = name === undefined ? {} : { name };
  if (typeof id === "string" && id !== "") {
    return { kind: "file", media: { kind: "id", id }, ...named, path, bound: GIVEN_OUT };
  }
  if (typeof url === "string" && url !== "") return { kind: "file", media: mediaOf(url), ...named, path };
  if (typeof data !== "string" || data === "") return null;
  const inline = mediaOf(data);
  // Bare base64, without the address that says what it is: OpenAI takes documents so.
  const media = inline.kind === "base64" ? inline : ({ kind: "base64", mediaType: "application/pdf", data } as const);
  return { kind: "file", media, ...named, path };
}
