/**
 * What a chat request upstream must hold of a request that came by another door, as the recordings' expectations say it:
 * a plain reader of chat bodies, and no code of the router's. Every fault is one line.
 */
import { isDeepStrictEqual } from "node:util";

type Json = Record<string, unknown>;

interface Media {
  readonly url?: string;
  readonly media?: string;
  readonly base64_head?: string;
}

interface WantedPart {
  readonly text?: string;
  readonly image?: Media;
  readonly file?: Media;
}

interface WantedCall {
  readonly id: string;
  readonly name: string;
  readonly arguments_json?: string;
  readonly input?: string;
}

interface WantedTurn {
  readonly role: string;
  readonly texts?: readonly string[];
  readonly parts?: readonly WantedPart[];
  readonly calls?: readonly WantedCall[];
  readonly id?: string;
  readonly images?: readonly Media[];
  readonly files?: readonly Media[];
  readonly error?: boolean;
}

interface WantedTool {
  readonly name: string;
  readonly parameters?: Json;
  readonly description?: string;
  readonly strict?: boolean;
  readonly custom?: boolean;
}

/** `expect` of a recorded request. */
export interface WantedRequest {
  readonly status?: number;
  readonly code?: string;
  readonly names?: string;
  readonly messages?: readonly WantedTurn[];
  readonly tools?: readonly WantedTool[];
  readonly tool_choice?: unknown;
  readonly parallel_tool_calls?: boolean;
  readonly max_tokens?: number;
  readonly temperature?: number;
  readonly top_p?: number;
  readonly stop?: readonly string[];
  readonly response_format?: Json;
  readonly user?: string;
  readonly stream?: boolean;
  readonly reasoning?: { readonly asked: boolean; readonly effort?: string; readonly budget?: number };
  readonly kept_or_named?: readonly string[];
  readonly native_only?: readonly string[];
  readonly may_refuse?: boolean;
  readonly never_upstream?: readonly string[];
  readonly echo_metadata?: Json;
}

interface Turn {
  readonly role: string;
  readonly parts: Json[];
  readonly calls: Json[];
  readonly id: unknown;
}

const partsOf = (content: unknown): Json[] => {
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  return Array.isArray(content) ? (content as Json[]) : [];
};

/** Neighbours of one role are one turn, `developer` is `system`, and each result of a tool is a turn of its own. */
function turnsOf(messages: readonly Json[]): Turn[] {
  const turns: Turn[] = [];
  for (const message of messages) {
    const role = message["role"] === "developer" ? "system" : String(message["role"]);
    const parts = partsOf(message["content"]);
    const calls = (message["tool_calls"] as Json[] | undefined) ?? [];
    const last = turns.at(-1);
    if (last?.role === role && role !== "tool") {
      last.parts.push(...parts);
      last.calls.push(...calls);
    } else turns.push({ role, parts: [...parts], calls: [...calls], id: message["tool_call_id"] });
  }
  return turns;
}

const MEDIA: ReadonlySet<unknown> = new Set(["image_url", "file", "input_file", "document_url", "file_url"]);

function isOf(part: Json, { url, base64_head: head }: Media): boolean {
  const text = JSON.stringify(part);
  return (url === undefined || text.includes(url)) && (head === undefined || text.includes(head));
}

const same = (text: unknown, wanted: string): boolean => {
  try {
    return isDeepStrictEqual(JSON.parse(String(text)), JSON.parse(wanted));
  } catch {
    return text === wanted;
  }
};

/** Texts whole and in order; each may stand inside a longer one. */
function textFaults(parts: readonly Json[], wanted: readonly string[], place: string): string[] {
  const said = parts.map(({ text }) => (typeof text === "string" ? text : "")).join("\n");
  const faults: string[] = [];
  let from = 0;
  for (const text of wanted) {
    const at = said.indexOf(text, from);
    if (at === -1) faults.push(`${place} lacks the text ${text.slice(0, 60)}`);
    else from = at + text.length;
  }
  return faults;
}

function callFaults(calls: readonly Json[], wanted: readonly WantedCall[], place: string): string[] {
  if (calls.length !== wanted.length) return [`${place} has ${calls.length} calls, not ${wanted.length}`];
  return wanted.flatMap(({ id, name, arguments_json: args, input }, at) => {
    const call = calls[at] ?? {};
    const made = (call["function"] ?? call["custom"] ?? {}) as Json;
    const own = made["arguments"] ?? made["input"];
    // A target without custom tools has them as functions of one text.
    const isSame =
      args === undefined ? same(own, input ?? "") || same(own, JSON.stringify({ input })) : same(own, args);
    const isRight = call["id"] === id && made["name"] === name && isSame;
    return isRight ? [] : [`${place} has ${JSON.stringify(call)} for the call ${id}`];
  });
}

function userFaults(parts: readonly Json[], wanted: readonly WantedPart[], place: string): string[] {
  let from = 0;
  return wanted.flatMap(({ text, image, file }) => {
    const media = image ?? file;
    const at = parts.findIndex(
      (part, index) =>
        index >= from && (media === undefined ? String(part["text"] ?? "").includes(text ?? "") : isOf(part, media)),
    );
    if (at === -1) return [`${place} lacks ${JSON.stringify({ text, image, file }).slice(0, 120)}`];
    // Several texts may have become one part.
    from = media === undefined ? at : at + 1;
    return [];
  });
}

export interface Reached {
  readonly body: Json;
  /** `x-flowlayer-dropped-params`. */
  readonly dropped: readonly string[];
}

/** What the chat body does not hold of `wanted`. */
export function faultsOf({ body, dropped }: Reached, wanted: WantedRequest): string[] {
  const isNamed = (name: string): boolean => dropped.some((each) => each.split(/[.[]/).includes(name));
  const all = JSON.stringify(body);
  const faults = turnFaults(body["messages"] as Json[], wanted.messages ?? [], isNamed);
  faults.push(...toolFaults((body["tools"] as Json[] | undefined) ?? [], wanted.tools ?? [], isNamed));
  const equal = (name: string, own: unknown, value: unknown): void => {
    if (value !== undefined && !isDeepStrictEqual(own, value)) faults.push(`${name} is ${JSON.stringify(own)}`);
  };
  const choice = body["tool_choice"];
  // One tool that must be called is the choice of it.
  if (wanted.tool_choice !== "auto" || choice !== undefined) equal("tool_choice", choice, wanted.tool_choice);
  if (wanted.parallel_tool_calls === false) equal("parallel_tool_calls", body["parallel_tool_calls"], false);
  equal("max_tokens", body["max_completion_tokens"] ?? body["max_tokens"], wanted.max_tokens);
  for (const name of ["temperature", "top_p", "stop", "user"] as const) {
    if (!isNamed(name)) equal(name, body[name], wanted[name]);
  }
  if (wanted.stream === true) equal("stream", body["stream"], true);
  if (wanted.response_format !== undefined) {
    const { type, ...schema } = wanted.response_format;
    const own = body["response_format"] as Json | undefined;
    equal("response_format.type", own?.["type"], type);
    if (type === "json_schema") {
      const { name, schema: shape, strict } = (own?.["json_schema"] ?? {}) as Json;
      const { name: wantedName, schema: wantedShape, strict: wantedStrict } = schema as Json;
      equal("response_format", { name, shape, strict }, { name: wantedName, shape: wantedShape, strict: wantedStrict });
    }
  }
  if (wanted.reasoning?.asked === true) {
    const isKept = /"(?:reasoning_effort|reasoning|thinking|thinking_budget|enable_thinking)":/.test(all);
    if (!isKept && !["reasoning", "thinking", "effort"].some(isNamed)) faults.push("reasoning is gone in silence");
  }
  for (const name of wanted.kept_or_named ?? []) {
    if (!all.includes(`"${name}"`) && !isNamed(name)) faults.push(`${name} is gone in silence`);
  }
  for (const what of wanted.native_only ?? []) {
    const name = what.split(":").at(-1) ?? what;
    // Members of a namespace are flat in chat.
    const isKept = all.includes(`"${name}"`) || (name === "namespace" && /"name":"[^"]+__/.test(all));
    if (!isKept && !isNamed(name)) faults.push(`${what} is gone in silence`);
  }
  for (const text of wanted.never_upstream ?? []) if (all.includes(text)) faults.push(`${text} went upstream`);
  return faults;
}

function turnFaults(
  messages: readonly Json[],
  wanted: readonly WantedTurn[],
  isNamed: (name: string) => boolean,
): string[] {
  const turns = turnsOf(messages);
  const faults: string[] = [];
  let at = 0;
  let pictures: Media[] = [];
  for (const turn of wanted) {
    // Pictures of results may stand in a user's turn behind them.
    while (pictures.length > 0 && turns[at]?.role === "user" && turn.role !== "user") {
      pictures = pictures.filter((media) => !turns[at]?.parts.some((part) => isOf(part, media)));
      at++;
    }
    const own = turns[at++];
    const place = `messages[${at - 1}]`;
    if (own?.role !== turn.role) {
      faults.push(`${place} is of ${own?.role}, not of ${turn.role}`);
      break;
    }
    if (turn.role === "user" && turn.parts !== undefined) {
      pictures = pictures.filter((media) => !own.parts.some((part) => isOf(part, media)));
      faults.push(...userFaults(own.parts, turn.parts, place));
    } else faults.push(...textFaults(own.parts, turn.texts ?? [], place));
    if (turn.role === "assistant") faults.push(...callFaults(own.calls, turn.calls ?? [], place));
    if (turn.role !== "tool") continue;
    if (own.id !== turn.id) faults.push(`${place} answers ${String(own.id)}, not ${turn.id}`);
    const media = [...(turn.images ?? []), ...(turn.files ?? [])];
    pictures.push(...media.filter((each) => !own.parts.some((part) => isOf(part, each))));
    const said = JSON.stringify(own.parts);
    if (turn.error === true && !isNamed("is_error") && !/error/i.test(said)) faults.push(`${place} tells of no error`);
  }
  const rest = turns.slice(at).flatMap(({ parts }) => parts);
  pictures = pictures.filter((media) => !rest.some((part) => isOf(part, media)));
  if (rest.some(({ type }) => !MEDIA.has(type) && type !== "text")) faults.push("something follows the last turn");
  return [...faults, ...pictures.map((media) => `${JSON.stringify(media)} of a result is missing`)];
}

function toolFaults(
  tools: readonly Json[],
  wanted: readonly WantedTool[],
  isNamed: (name: string) => boolean,
): string[] {
  const own = tools.map((tool) => (tool["function"] ?? tool["custom"] ?? {}) as Json);
  const faults = wanted.flatMap(({ name, parameters, description, strict, custom }) => {
    const tool = own.find((each) => each["name"] === name);
    if (tool === undefined) return [`the tool ${name} is missing`];
    const found: string[] = [];
    if (custom !== true && parameters !== undefined && !isDeepStrictEqual(tool["parameters"], parameters)) {
      found.push(`the parameters of ${name} changed: ${JSON.stringify(tool["parameters"]).slice(0, 200)}`);
    }
    if (description !== undefined && !String(tool["description"] ?? "").includes(description)) {
      found.push(`the description of ${name} changed`);
    }
    if (strict === true && tool["strict"] !== true && !isNamed("strict")) found.push(`strict of ${name} is gone`);
    return found;
  });
  const places = wanted.map(({ name }) => own.findIndex((each) => each["name"] === name));
  if (places.some((place, at) => at > 0 && place < (places[at - 1] ?? 0))) faults.push("tools changed their order");
  return faults;
}
