/**
 * What a provider would bill for a request as it arrived, at worst: it takes every byte that its model may read for a
 * token (names of members too, below a schema), adds what it wraps around messages and tools, answers up to the cap it
 * was given, and charges dearly for whatever fetches, searches or plays.
 */
import type { Call } from "../../support/upstream.ts";
import type { AttackTarget } from "./targets.ts";

export interface Bill {
  readonly input: number;
  readonly output: number;
  readonly usd: number;
  /** Why it is as much as nobody could hold. */
  readonly dear: string | null;
}

type Json = Readonly<Record<string, unknown>>;

/** A minute of film, a long document, or what a search brings. */
const DEAR_TOKENS = 2_000_000;
/** Members whose very presence costs: tools that a provider runs, content that it fetches, other models and hosts. */
const DEAR_KEYS = new RegExp(
  [
    "^(?:file_?data|google_?search(?:retrieval)?|url_?context|code_?execution|file_?search|cached_?content)$",
    "^(?:web_?search_?options|search_?parameters|enable_?search|search_?options|plugins|preset|models|provider|connectors)$",
    "^(?:mcp_?servers|container|guardrail_?config|performance_?config|prediction|s3_?location|system_?tool|data_?sources)$",
    "^(?:video|video_url|document_url|file_url|file_id|compound_custom)$",
  ].join("|"),
  "i",
);
const DEAR_TYPES =
  /^(?:web_?search|web_?fetch|code_?(?:execution|interpreter)|mcp|file_?search|live_?search|x_?search|browser_?search|image_?generation|document_library|url_context|google_search|video|video_url|document_url|container_upload|builtin_function|openrouter:)/i;
const MEDIA = /\.(?:mp4|mov|webm|avi|mkv|pdf|mp3|wav|ogg|m4a)(?:$|[?#])|youtu\.?be|^gs:|^s3:/i;
/** A provider's store of files, which may hold anything. Anthropic's `image` block takes a picture from it or nothing. */
const FILES = /\/files\//i;
/** Names and texts of the client's own below these say nothing. */
const OPAQUE = new Set([
  "arguments",
  "parameters",
  "parametersJsonSchema",
  "inputSchema",
  "input_schema",
  "text",
  "metadata",
  "args",
  "input",
]);
const CAPS = ["max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "maxTokens"];

/** `Data` of a picture or sound that came inside: no text, and counted by its own formula. */
const BASE64 = /^(?:data:[^,]{0,100},)?[A-Za-z0-9+/=]{64,}$/;

/** Around a message, and in front of tools: no provider documents more. */
const PER_MESSAGE = 8;
const FOR_TOOLS = 700;

interface Found {
  dear: string | null;
  textBytes: number;
  images: number;
  cap: number | null;
  n: number;
}

/** `isImage`: it stands in a block that is documented to take pictures only. */
function walk(value: unknown, key: string, found: Found, isImage = false): void {
  if (typeof value === "string") {
    if (value.length > 64 && BASE64.test(value)) {
      found.images++;
      if (/^data:(?:video|audio|application)\//.test(value)) found.dear ??= `data: ${value.slice(0, 30)}`;
    } else if (/^https?:|^gs:|^s3:/.test(value) && !OPAQUE.has(key)) {
      found.images++;
      if (MEDIA.test(value) || (!isImage && FILES.test(value))) found.dear ??= value;
    } else found.textBytes += Buffer.byteLength(value);
    if (key === "type" && DEAR_TYPES.test(value)) found.dear ??= `type ${value}`;
    return;
  }
  if (typeof value === "number") {
    if (CAPS.includes(key)) found.cap = Math.max(found.cap ?? 0, value);
    if (key === "n" || key === "candidateCount" || key === "num_generations") found.n = Math.max(found.n, value);
    return;
  }
  if (Array.isArray(value)) for (const each of value) walk(each, key, found, isImage);
  else if (typeof value === "object" && value !== null) {
    for (const [name, each] of Object.entries(value as Json)) {
      const asks = each !== null && each !== false && !(Array.isArray(each) && each.length === 0);
      if (DEAR_KEYS.test(name) && asks && !isPicture(each)) found.dear ??= `member ${name}`;
      if (typeof each === "object" && OPAQUE.has(name)) found.textBytes += Buffer.byteLength(JSON.stringify(each));
      // A budget of thoughts is within the cap.
      else if (name !== "reasoning" && name !== "thinking")
        walk(each, name, found, isImage || isImageBlock(value as Json));
    }
  }
}

/** https://platform.claude.com/docs/en/build-with-claude/vision: JPEG, PNG, GIF and WebP, all else is an error. */
function isImageBlock({ type, source }: Json): boolean {
  return type === "image" && typeof source === "object" && source !== null;
}

/** Google's address of a file may be that of a picture. */
function isPicture(value: unknown): boolean {
  const { mimeType } = typeof value === "object" && value !== null ? (value as Json) : {};
  return typeof mimeType === "string" && mimeType.startsWith("image/");
}

function countOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

export function billOf(call: Call, target: AttackTarget): Bill {
  const found: Found = { dear: null, textBytes: 0, images: 0, cap: null, n: 1 };
  const body = JSON.parse(call.body) as Json;
  walk(body, "", found);
  const wrapped =
    PER_MESSAGE * (countOf(body["messages"]) + countOf(body["contents"])) +
    (call.body.includes('"tools"') ? FOR_TOOLS : 0);
  const input = found.dear === null ? found.textBytes + wrapped + found.images * target.imageTokens : DEAR_TOKENS;
  const output = Math.min(found.cap ?? target.maxOutput, target.maxOutput) * Math.min(found.n, 128);
  const isDearer = target.dearer !== undefined && input > target.dearer.above;
  const price = isDearer && target.dearer !== undefined ? target.dearer : target.usd;
  return { input, output, usd: (input * price.input + output * price.output) / 1e6, dear: found.dear };
}
