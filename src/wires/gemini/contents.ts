/**
 * A conversation in Gemini's terms: one system instruction, and turns of `user` and `model` made of parts.
 *
 * Pure. Nothing is left out: a part of a type that is not known here is sent as it came, so that the vendor refuses it
 * aloud. Signatures that Gemini made go back on the part they came with; what other vendors signed never reaches it,
 * and a past call without a signature gets the dummy that Google documents for it, so a conversation can change vendors.
 * https://ai.google.dev/api/caching#Content, https://ai.google.dev/gemini-api/docs/thought-signatures
 */
import { isJsonObject } from "../../lib/json.ts";
import { inlineOf, type Part, type PastCall, partsOf, pastCallsOf } from "../openai-chat/chat-wire.ts";
import { isGemini3 } from "./thinking.ts";

type Json = Readonly<Record<string, unknown>>;

/** Marks what is Gemini's in `reasoning_details` and `extra_content`. */
export const FORMAT = "google";
/** For calls that Gemini did not make, or whose signature the client lost: "thought-signatures", section FAQs. */
const NO_SIGNATURE = "skip_thought_signature_validator";

export interface Conversation {
  readonly contents: readonly Json[];
  readonly systemInstruction: Json | undefined;
}

interface Turn {
  readonly role: "user" | "model";
  readonly isResults: boolean;
  readonly parts: Json[];
}

export function toConversation(messages: unknown, model: string): Conversation {
  const turns: Turn[] = [];
  const system: Json[] = [];
  const calledNames = new Map<string, string>();
  const add = (role: Turn["role"], isResults: boolean, parts: readonly Json[]): void => {
    if (parts.length === 0) return;
    const last = turns.at(-1);
    if (last?.role === role && last.isResults === isResults) last.parts.push(...parts);
    else turns.push({ role, isResults, parts: [...parts] });
  };
  for (const message of Array.isArray(messages) ? messages : []) {
    if (!isJsonObject(message)) continue;
    switch (message["role"]) {
      case "system":
      case "developer":
        system.push(...partsOf(message["content"]).map(toGeminiPart));
        break;
      case "assistant":
      case "model":
        for (const { id, name } of pastCallsOf(message)) calledNames.set(id, name);
        add("model", false, modelParts(message, model));
        break;
      case "tool":
      case "function":
        add("user", true, resultParts(message, calledNames, model));
        break;
      default:
        add("user", false, partsOf(message["content"]).map(toGeminiPart));
    }
  }
  // A request without any turn is refused: an instruction alone is then what the user says.
  const isAlone = turns.length === 0 && system.length > 0;
  // Nor is nothing at all a request, but an empty text is one.
  if (turns.length === 0 && system.length === 0) add("user", false, [{ text: "" }]);
  const contents = isAlone ? [{ role: "user", parts: system }] : turns.map(({ role, parts }) => ({ role, parts }));
  return { contents, systemInstruction: isAlone || system.length === 0 ? undefined : { parts: system } };
}

export function toGeminiPart(part: Part): Json {
  switch (part.kind) {
    case "text":
      return { text: part.text };
    case "image":
      return mediaPart(part.url);
    case "file": {
      const address = isJsonObject(part.source["file"]) ? part.source["file"]["file_data"] : undefined;
      return typeof address === "string" && isAddress(address) ? mediaPart(address) : inlinePart(part.data);
    }
    case "audio":
      return inlinePart(part.data);
    case "unknown": {
      const url = videoUrl(part);
      return url === null ? part.source : mediaPart(url);
    }
  }
}

/** The de-facto part `video_url`, which Gemini can serve. */
export function videoUrl(part: Part): string | null {
  const video = part.source["video_url"];
  const url = isJsonObject(video) ? video["url"] : video;
  return part.kind === "unknown" && part.type === "video_url" && typeof url === "string" ? url : null;
}

function inlinePart({ mediaType, base64 }: { mediaType: string; base64: string }): Json {
  return { inlineData: { mimeType: mediaType, data: base64 } };
}

const isAddress = (text: string): boolean => /^(?:https?|gs):\/\//i.test(text);

/** By the end of an address. Where it says nothing, Gemini looks at what it fetched. */
const MEDIA_TYPES: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  webp: "image/webp",
  heic: "image/heic",
  heif: "image/heif",
  gif: "image/gif",
  pdf: "application/pdf",
  mp4: "video/mp4",
  webm: "video/webm",
  mov: "video/quicktime",
  mp3: "audio/mp3",
  wav: "audio/wav",
};

/** Public addresses are fetched by Gemini itself: https://ai.google.dev/gemini-api/docs/file-input-methods. */
function mediaPart(url: string): Json {
  const data = inlineOf(url);
  if (data !== null) return inlinePart(data);
  const ending = /\.([a-z0-9]{2,4})(?:[?#]|$)/i.exec(url.slice(-2_048))?.[1]?.toLowerCase() ?? "";
  const mimeType = Object.hasOwn(MEDIA_TYPES, ending) ? MEDIA_TYPES[ending] : undefined;
  return { fileData: { ...(mimeType === undefined ? {} : { mimeType }), fileUri: url } };
}

function modelParts(message: Json, model: string): Json[] {
  const said = partsOf(message["content"]);
  const refusal = message["refusal"];
  if (said.length === 0 && typeof refusal === "string" && refusal !== "") {
    said.push({ kind: "text", text: refusal, source: {} });
  }
  const { thoughts, signatures } = ownReasoning(message["reasoning_details"]);
  const parts: Json[] = [...thoughts, ...signed(said.map(toGeminiPart), signatures)];
  for (const image of Array.isArray(message["images"]) ? message["images"] : []) {
    const [part] = partsOf([image]);
    if (part === undefined) continue;
    parts.push({ ...toGeminiPart(part), ...signatureMember(signatureOf(part.source)) });
  }
  const calls = pastCallsOf(message);
  return [...parts, ...calls.map((call, index) => callPart(call, index === 0 && isGemini3(model)))];
}

/** Only the first call of a step must be signed: Gemini itself signs only that one of parallel calls. */
function callPart({ id, name, args, argsText, source }: PastCall, mustBeSigned: boolean): Json {
  const signature = signatureOf(source) ?? (mustBeSigned ? NO_SIGNATURE : undefined);
  return {
    functionCall: { ...(id === "" ? {} : { id }), name, args: args ?? { arguments: argsText } },
    ...signatureMember(signature),
  };
}

/** `extra_content.google.thought_signature`, the place Google's own OpenAI endpoint uses. */
function signatureOf(source: Json): string | undefined {
  const extra = source["extra_content"];
  const own = isJsonObject(extra) ? extra[FORMAT] : undefined;
  const signature = isJsonObject(own) ? own["thought_signature"] : undefined;
  return typeof signature === "string" && signature !== "" ? signature : undefined;
}

function signatureMember(signature: string | undefined): Json {
  return signature === undefined ? {} : { thoughtSignature: signature };
}

interface TextSignature {
  readonly signature: string;
  /** Which characters of the message's text the signed part had. */
  readonly from: number;
  readonly to: number;
}

/** The entries of `reasoning_details` that Gemini wrote. */
function ownReasoning(details: unknown): { thoughts: Json[]; signatures: TextSignature[] } {
  const thoughts: Json[] = [];
  const signatures: TextSignature[] = [];
  for (const entry of Array.isArray(details) ? details : []) {
    if (!isJsonObject(entry) || entry["format"] !== FORMAT) continue;
    const { type, text, signature, data, from, to } = entry;
    if (type === "reasoning.text" && typeof text === "string" && typeof signature === "string") {
      thoughts.push({ text, thought: true, thoughtSignature: signature });
    } else if (type === "reasoning.encrypted" && typeof data === "string" && data !== "") {
      const known = Number.isInteger(from) && Number.isInteger(to);
      signatures.push({ signature: data, from: known ? Number(from) : 0, to: known ? Number(to) : Infinity });
    }
  }
  return { thoughts, signatures };
}

/**
 * The message's text, cut where the signed parts were: a signature belongs to exactly its part, and parts with and
 * without one must not be joined.
 */
function signed(parts: readonly Json[], signatures: readonly TextSignature[]): Json[] {
  if (signatures.length === 0) return [...parts];
  const [only] = parts;
  const text = parts.length === 0 ? "" : parts.length === 1 ? only?.["text"] : undefined;
  // The client rearranged the content: the signature goes behind it, on an empty part, as Gemini does in streams.
  if (typeof text !== "string") {
    return [...parts, ...signatures.map(({ signature }) => ({ text: "", thoughtSignature: signature }))];
  }
  const cut: Json[] = [];
  let behind = 0;
  for (const { signature, from, to } of signatures.toSorted((a, b) => a.from - b.from)) {
    const start = Math.min(Math.max(from, behind), text.length);
    const end = Math.min(Math.max(to, start), text.length);
    if (start > behind) cut.push({ text: text.slice(behind, start) });
    cut.push({ text: text.slice(start, end), thoughtSignature: signature });
    behind = end;
  }
  if (behind < text.length) cut.push({ text: text.slice(behind) });
  return cut;
}

/** A tool's result. `output` is the key that Google's SDKs document for what a function returned. */
function resultParts(message: Json, calledNames: ReadonlyMap<string, string>, model: string): Json[] {
  const ownName = typeof message["name"] === "string" ? message["name"] : undefined;
  const id = message["role"] === "function" ? `call_${ownName}` : String(message["tool_call_id"] ?? "");
  const parts = partsOf(message["content"]);
  const texts = parts.flatMap((part) => (part.kind === "text" ? [part.text] : []));
  const media = parts.filter(({ kind }) => kind !== "text").map(toGeminiPart);
  // Only Gemini 3 reads media inside a result; for the others it stands beside it.
  const inside = isGemini3(model) && media.every((part) => part["inlineData"] !== undefined) ? media : [];
  const response = {
    ...(id === "" ? {} : { id }),
    name: calledNames.get(id) ?? ownName ?? id,
    response: { output: texts.join("\n") },
    ...(inside.length === 0 ? {} : { parts: inside }),
  };
  return [{ functionResponse: response }, ...(inside.length === 0 ? media : [])];
}
