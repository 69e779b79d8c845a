/**
 * A conversation in Gemini's terms: one system instruction, and turns of `user` and `model` made of parts.
 *
 * Pure. Every part is built here from texts and bytes: no object of a client reaches Google as it came. What cannot be
 * written is a loss. Signatures that Gemini made go back on the part they came with; what other providers signed never
 * reaches it, and a past call without a signature gets the dummy that Google documents for it, so a conversation can
 * change providers. https://ai.google.dev/api/caching#Content, https://ai.google.dev/gemini-api/docs/thought-signatures
 */
import type { Turn } from "../../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss } from "../../conversation/loss.ts";
import {
  type CallPart,
  type Json,
  type Part,
  type ReasoningPart,
  type ResultPart,
  unreachable,
} from "../../conversation/part.ts";
import { isObjectText } from "../../lib/json.ts";
import { RawJson } from "../../lib/raw-json.ts";
import type { ToolNames } from "../tool-names.ts";
import type { RequestTarget } from "../wire.ts";
import { customArgs } from "./called-tools.ts";
import { OwnParts } from "./own-parts.ts";
import { isGemini3, takesPrefill } from "./thinking.ts";
import { writeMedia } from "./write-media.ts";

/** For calls that Gemini did not make, or whose signature the client lost: "thought-signatures", section FAQs. */
const NO_SIGNATURE = "skip_thought_signature_validator";

export interface WrittenTurns {
  readonly contents: readonly Json[];
  readonly systemInstruction?: Json;
}

interface Content {
  readonly role: "user" | "model";
  readonly isResults: boolean;
  readonly parts: Json[];
}

export function writeTurns(
  turns: readonly Turn[],
  target: RequestTarget,
  names: ToolNames,
  losses: Loss[],
): WrittenTurns {
  const writer = new TurnWriter(target, names, losses);
  const contents: Content[] = [];
  const system: Json[] = [];
  for (const turn of turns) {
    if (turn.name !== undefined && turn.role !== "tool") losses.push(harmless("messages.name", "member"));
    if (turn.role === "system" || turn.role === "developer") system.push(...writer.write(turn).flatMap(partsOf));
    else for (const content of writer.write(turn)) addContent(contents, content);
  }
  const last = contents.at(-1);
  const isPrefill = last?.role === "model" && last.parts.every((part) => part["functionCall"] === undefined);
  if (isPrefill && !takesPrefill(target.model)) addContent(contents, GO_ON());
  if (contents.length > 0) {
    const instruction = system.length === 0 ? {} : { systemInstruction: { parts: system } };
    return { contents: contents.map(({ role, parts }) => ({ role, parts })), ...instruction };
  }
  // A request without any turn is refused: an instruction alone is then what the user says, and nothing an empty text.
  return { contents: [{ role: "user", parts: system.length === 0 ? [{ text: "" }] : system }] };
}

const GO_ON = (): Content => ({ role: "user", isResults: false, parts: [{ text: "Continue." }] });

const partsOf = ({ parts }: Content): Json[] => parts;

/** Neighbours of one role are one turn, but results stand alone, and right behind their calls. */
function addContent(contents: Content[], content: Content): void {
  if (content.parts.length === 0) return;
  const last = contents.at(-1);
  const isLate = content.isResults && last?.role === "user" && !last.isResults;
  const before = isLate ? contents.at(-2) : undefined;
  if (before?.isResults === true) before.parts.push(...content.parts);
  else if (before?.parts.some((part) => part["functionCall"] !== undefined) === true) contents.splice(-1, 0, content);
  else if (last?.role === content.role && last.isResults === content.isResults) {
    for (const part of content.parts) last.parts.push(part);
  } else contents.push(content);
}

class TurnWriter {
  readonly #target: RequestTarget;
  readonly #names: ToolNames;
  readonly #losses: Loss[];
  /** Names of the tools that were called, by the ids of their calls. */
  readonly #called = new Map<string, string>();
  readonly #ownParts = new OwnParts();
  readonly #isGemini3: boolean;

  constructor(target: RequestTarget, names: ToolNames, losses: Loss[]) {
    this.#target = target;
    this.#names = names;
    this.#losses = losses;
    this.#isGemini3 = isGemini3(target.model);
  }

  write({ role, parts }: Turn): Content[] {
    if (role === "assistant") return [{ role: "model", isResults: false, parts: this.#modelParts(parts) }];
    const contents: Content[] = [];
    for (const part of parts) {
      const isResults = part.kind === "result";
      const written = part.kind === "result" ? this.#result(part) : this.#plain(part);
      addContent(contents, { role: "user", isResults, parts: written });
    }
    return contents;
  }

  /** Parts of the model's own turn. Only the first call of a step must be signed: Gemini signs only that one itself. */
  #modelParts(parts: readonly Part[]): Json[] {
    const placed = placedSignatures(parts);
    const written: Json[] = [];
    let mustSign = this.#isGemini3;
    for (const [at, part] of parts.entries()) {
      switch (part.kind) {
        case "call":
          written.push(this.#call(part, mustSign));
          mustSign = false;
          break;
        case "reasoning":
          written.push(...this.#reasoning(part, placed, isOpenText(parts[at + 1])));
          break;
        case "text":
          this.#note(part);
          written.push(...this.#text(part, parts[at - 1], placed));
          break;
        default:
          written.push(...this.#plain(part));
      }
    }
    return written;
  }

  /** A text of the model, with its own signature or the one right before it. */
  #text(part: Extract<Part, { kind: "text" }>, before: Part | undefined, placed: PlacedSignatures | null): Json[] {
    if (placed?.text === part) return cutText(part.text, placed.signatures);
    const own = this.#signatureOf(part);
    if (own !== undefined) return [signedText(part.text, own)];
    const isUnplaced = placed === null && before?.kind === "reasoning" && isSignatureOnly(before);
    const signature = isUnplaced ? this.#signatureOf(before) : undefined;
    if (part.text === "" && signature === undefined) return [];
    return [signature === undefined ? { text: part.text } : signedText(part.text, signature)];
  }

  /**
   * Thoughts that Gemini signed. A signature alone is on the text that follows, or on a part without text, as Gemini has
   * it in streams.
   */
  #reasoning(part: ReasoningPart, placed: PlacedSignatures | null, isBeforeText: boolean): Json[] {
    this.#note(part);
    const signature = this.#signatureOf(part);
    if (signature === undefined) {
      this.#losses.push(harmless(memberPath(part.path), "bound"));
      return [];
    }
    if (!isSignatureOnly(part)) return [{ text: part.text, thought: true, thoughtSignature: signature }];
    const isOnText = placed === null ? isBeforeText : placed.text !== null && placeOf(part) !== null;
    return isOnText ? [] : [signedText("", signature)];
  }

  /** What a part brings that this provider itself signed. */
  #signatureOf({ bound }: Part): string | undefined {
    if (bound?.wire !== "gemini") return undefined;
    if (bound.provider !== null && bound.provider !== this.#target.provider) return undefined;
    return bound.signature ?? bound.encrypted;
  }

  #call(part: CallPart, mustSign: boolean): Json {
    this.#note(part);
    const name = this.#names.sent(part);
    this.#called.set(part.id, name);
    const signature = this.#signatureOf(part) ?? (mustSign ? NO_SIGNATURE : undefined);
    return {
      functionCall: { ...(part.id === "" ? {} : { id: part.id }), name, args: argsOf(part) },
      ...(signature === undefined ? {} : { thoughtSignature: signature }),
    };
  }

  /** `output` and `error` are the keys that Google's SDKs document for what a function returned. */
  #result(part: ResultPart): Json[] {
    this.#note(part);
    const texts = part.parts.flatMap((each) => (each.kind === "text" ? [each.text] : []));
    const media = part.parts.flatMap((each) => {
      if (each.kind !== "text") return this.#plain(each);
      this.#note(each);
      return [];
    });
    // Only Gemini 3 reads media inside a result; for the others it follows the result.
    const inside = this.#isGemini3 && media.every((each) => each["inlineData"] !== undefined) ? media : [];
    const text = texts.join("\n");
    const functionResponse = {
      ...(part.callId === "" ? {} : { id: part.callId }),
      name: this.#called.get(part.callId) ?? this.#names.sent({ name: part.name ?? part.callId }),
      response: part.isError === true ? { error: text } : { output: text },
      ...(inside.length === 0 ? {} : { parts: inside }),
    };
    return [{ functionResponse }, ...(inside.length === 0 ? media : [])];
  }

  /** A part in any position. */
  #plain(part: Part): Json[] {
    this.#note(part);
    switch (part.kind) {
      case "text":
      case "refusal":
        return part.text === "" ? [] : [{ text: part.text }];
      case "image":
      case "audio":
      case "video":
      case "file": {
        const written = writeMedia(part);
        if (isLoss(written)) {
          this.#losses.push(written);
          return [];
        }
        const signature = this.#signatureOf(part);
        return [signature === undefined ? written : { ...written, thoughtSignature: signature }];
      }
      case "block": {
        const own = part.bound.wire === "gemini" ? this.#ownParts.rebuilt(part.bound.data ?? {}) : null;
        if (own === null) this.#losses.push(harmless(memberPath(part.path), "bound"));
        return own === null ? [] : [own];
      }
      case "reasoning":
        this.#losses.push(harmless(memberPath(part.path), "bound"));
        return [];
      case "call":
      case "result":
        this.#losses.push(changesMeaning(part.path, "part", `\`${part.path}\` cannot stand there for Gemini.`));
        return [];
      case "opaque": {
        const kind = part.type === "undefined" ? "has no type" : `has the type \`${part.type.slice(0, 64)}\``;
        const why = `\`${part.path}\` ${kind} that can be written for Gemini. Send text, media or tool calls as chat has them.`;
        this.#losses.push(changesMeaning(part.path, "part", why));
        return [];
      }
      default:
        return unreachable(part);
    }
  }

  /** What hangs on a part and says nothing to Gemini: it caches prefixes by itself. */
  #note(part: Part): void {
    if (part.cache !== undefined) this.#losses.push(harmless("messages.cache_control", "member"));
    if (part.kind === "image" && part.detail !== undefined && part.detail !== "auto") {
      this.#losses.push(harmless("messages.image_url.detail", "member"));
    }
    if (part.kind === "text" && part.citations !== undefined) {
      this.#losses.push(harmless("messages.citations", "member"));
    }
    if (part.kind !== "file") return;
    if (part.name !== undefined) this.#losses.push(harmless("messages.file.filename", "member"));
    for (const name of Object.keys(part.options ?? {})) this.#losses.push(harmless(`messages.file.${name}`, "member"));
  }
}

const isLoss = (written: Json | Loss): written is Loss => "weight" in written;

/** `messages[2].reasoning_details[0]` as `messages.reasoning_details`: each name is listed once. */
function memberPath(path: string): string {
  return path.replace(/\[\d+\]/g, "");
}

/** The client's own text where it is a JSON object, digit by digit; anything else as one member. */
function argsOf({ form, args }: CallPart): unknown {
  if (form === "custom") return customArgs(args);
  if (args.trim() === "") return {};
  return isObjectText(args) ? new RawJson(args) : { arguments: args };
}

function signedText(text: string, signature: string): Json {
  return { text, thoughtSignature: signature };
}

function isSignatureOnly({ form, bound }: ReasoningPart): boolean {
  return form === "redacted" && bound?.encrypted !== undefined;
}

const isOpenText = (part: Part | undefined): boolean => part?.kind === "text" && part.bound === undefined;

interface TextSignature {
  readonly signature: string;
  /** Which characters of the message's text the signed part had. */
  readonly from: number;
  readonly to: number;
}

interface PlacedSignatures {
  readonly signatures: readonly TextSignature[];
  /** The one text that they are on; `null` where the client rearranged the content: they are then on empty parts. */
  readonly text: Part | null;
}

/** Signatures that say on which characters they are: the way of this router before it kept the order of a turn. */
function placedSignatures(parts: readonly Part[]): PlacedSignatures | null {
  const signatures = parts.flatMap((part) => placeOf(part) ?? []);
  if (signatures.length === 0) return null;
  const texts = parts.filter(({ kind }) => kind === "text" || kind === "refusal");
  const [only] = texts;
  return { signatures, text: texts.length === 1 && only?.kind === "text" ? only : null };
}

function placeOf(part: Part): TextSignature | null {
  if (part.kind !== "reasoning" || part.bound?.wire !== "gemini" || part.bound.provider !== null) return null;
  const { encrypted: signature, data } = part.bound;
  const { from, to } = data ?? {};
  const isPlaced = signature !== undefined && typeof from === "number" && typeof to === "number";
  return isPlaced ? { signature, from, to } : null;
}

/** The text, cut where the signed parts were: parts with and without a signature must not be joined. */
function cutText(text: string, signatures: readonly TextSignature[]): Json[] {
  const cut: Json[] = [];
  let behind = 0;
  for (const { signature, from, to } of signatures.toSorted((a, b) => a.from - b.from)) {
    const start = Math.min(Math.max(from, behind), text.length);
    const end = Math.min(Math.max(to, start), text.length);
    if (start > behind) cut.push({ text: text.slice(behind, start) });
    cut.push(signedText(text.slice(start, end), signature));
    behind = end;
  }
  if (behind < text.length) cut.push({ text: text.slice(behind) });
  return cut;
}
