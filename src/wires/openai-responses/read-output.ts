/** Items that a model made, as parts of its turn: of a history that a client sends, and of an answer. */
import type { Bound, Json, Part, ReasoningPart } from "../../conversation/part.ts";
import { isJsonObject, isRounded, wordOf } from "../../lib/json.ts";
import { argumentsText } from "../call-arguments.ts";
import type { ToolName } from "../tool-names.ts";
import { disclose, isEnclosed } from "./envelope.ts";
import { isProviderItem, objectsOf, oddPart, phaseBound, readClientCall, textOf, WIRE } from "./items.ts";

/** A tool's name as an answer has it: with its namespace next to it, where there is one. */
export function nameOf(item: Json): ToolName {
  const namespace = textOf(item["namespace"]);
  return { name: String(item["name"]), ...(namespace === undefined ? {} : { namespace }) };
}

/** Between the parts of a summary: each is a paragraph. */
export const SUMMARY_BREAK = "\n\n";

/** The parts of one turn, in the order of its items. */
export class OutputParts {
  readonly parts: Part[] = [];
  readonly #provider: string | null;
  readonly #nameOf: (item: Json) => ToolName;
  /** What an item before its call said of the call. */
  readonly #ofCalls = new Map<string, Bound>();

  /** `provider`: the one that answered; `null` in a history, where each item says so itself or not at all. */
  constructor(provider: string | null, toolName: (item: Json) => ToolName = nameOf) {
    this.#provider = provider;
    this.#nameOf = toolName;
  }

  /** `false` for an item that no model makes, or that is not known. */
  add(item: Json, path: string): boolean {
    switch (item["type"]) {
      case undefined:
      case "message":
        this.parts.push(...messageParts(item, path, this.#provider));
        return true;
      case "reasoning":
        this.#addReasoning(item, path);
        return true;
      case "function_call":
        this.#addCall(item, "function", this.#argumentsOf(item["arguments"]), path);
        return true;
      case "custom_tool_call":
        this.#addCall(item, "custom", typeof item["input"] === "string" ? item["input"] : "", path);
        return true;
      default: {
        const call = readClientCall(item, path, this.#provider);
        if (call !== null) this.parts.push(call);
        else if (isProviderItem(item)) this.addBlock(item, path);
        else return false;
        return true;
      }
    }
  }

  addBlock(item: Json, path: string): void {
    const bound: Bound = { wire: WIRE, provider: this.#provider, data: item };
    this.parts.push({ kind: "block", path: inside(path, `.${wordOf(item["type"])}`), bound });
  }

  #addCall(item: Json, form: "function" | "custom", args: string, path: string): void {
    const id = textOf(item["call_id"]) ?? textOf(item["id"]) ?? "";
    const bound = this.#ofCalls.get(id);
    this.parts.push({
      kind: "call",
      path,
      id,
      ...this.#nameOf(item),
      form,
      args,
      ...(form === "function" && isRounded(item["arguments"]) ? { isUnclear: true } : {}),
      ...(bound === undefined ? {} : { bound }),
    });
  }

  /** An answer's call always has an object; a history is left as the client sent it. */
  #argumentsOf(value: unknown): string {
    const args = argumentsOf(value);
    return this.#provider === null ? args : argumentsText(args);
  }

  #addReasoning(item: Json, path: string): void {
    const encrypted = textOf(item["encrypted_content"]);
    const enclosed = encrypted === undefined ? null : disclose(encrypted);
    switch (enclosed?.of) {
      case "text":
        this.#attachToText(enclosed.bound);
        return;
      case "call":
        this.#ofCalls.set(enclosed.callId ?? "", enclosed.bound);
        return;
      case "block":
        this.parts.push({ kind: "block", path, bound: enclosed.bound });
        return;
      case "reasoning":
      case undefined: {
        const { text, form } = thoughtsOf(item);
        const bound = enclosed === null ? ownBound(item, encrypted, this.#provider) : enclosed?.bound;
        if (text === "" && bound === undefined) return;
        this.parts.push({
          kind: "reasoning",
          path,
          text,
          form: enclosed?.form ?? form,
          ...(bound === undefined ? {} : { bound }),
        });
        return;
      }
    }
  }

  #attachToText(bound: Bound): void {
    const last = this.parts.at(-1);
    if (last?.kind === "text") this.parts[this.parts.length - 1] = { ...last, bound };
    else this.parts.push({ kind: "reasoning", path: "", text: "", form: "redacted", bound });
  }
}

/** Without its encrypted form a thought cannot go back: nothing of this wire is stored at a provider. */
export function ownBound(item: Json, encrypted: string | undefined, provider: string | null): Bound | undefined {
  if (encrypted === undefined || isEnclosed(encrypted)) return undefined;
  const id = textOf(item["id"]);
  return { wire: WIRE, provider, encrypted, ...(id === undefined ? {} : { id }) };
}

/** A summary where there is one, else the thoughts themselves, as open models show them. */
export function thoughtsOf(item: Json): Pick<ReasoningPart, "text" | "form"> {
  const join = (parts: unknown, separator: string): string =>
    objectsOf(parts)
      .map(({ text }) => (typeof text === "string" ? text : ""))
      .filter((text) => text !== "")
      .join(separator);
  const summary = join(item["summary"], SUMMARY_BREAK);
  if (summary !== "") return { text: summary, form: "summary" };
  const full = join(item["content"], "");
  return full === "" ? { text: "", form: "redacted" } : { text: full, form: "full" };
}

/** The exact text. Some clients send back an object where the text of one belongs. */
export function argumentsOf(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

/** Parts of an answer have no place in a request. */
function inside(path: string, member: string): string {
  return path === "" ? "" : path + member;
}

/** Texts and refusals of an assistant's message. */
function messageParts(item: Json, path: string, provider: string | null): Part[] {
  const { content } = item;
  const phase = phaseBound(item, provider);
  const bound = phase === undefined ? {} : { bound: phase };
  if (typeof content === "string") {
    return content === "" ? [] : [{ kind: "text", text: content, path: inside(path, ".content"), ...bound }];
  }
  // Every value of a history is judged, as some provider may read it as a part.
  const isHistory = provider === null;
  if (!Array.isArray(content)) {
    return isHistory && content !== undefined && content !== null ? [oddPart(content, `${path}.content`)] : [];
  }
  return content.flatMap((part, at): Part[] => {
    const place = inside(path, `.content[${at}]`);
    if (!isJsonObject(part)) return isHistory ? [oddPart(part, place)] : [];
    const { type, text, refusal, annotations } = part;
    if (typeof text === "string" && (type === "output_text" || type === "text" || type === "input_text")) {
      if (text === "") return [];
      const citations = objectsOf(annotations);
      return [{ kind: "text", text, path: place, ...(citations.length === 0 ? {} : { citations }), ...bound }];
    }
    if (type === "refusal" && typeof refusal === "string") {
      return refusal === "" ? [] : [{ kind: "refusal", text: refusal, path: place }];
    }
    return [{ kind: "opaque", wire: WIRE, type: wordOf(type), source: part, path: place }];
  });
}
