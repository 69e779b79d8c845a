/** A chat request as a client sends it, and its stream as it comes in. */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { type Client, type Json, refused } from "./client.ts";

export interface StreamEnd {
  /** What the response headers say. */
  readonly headers: Headers;
  readonly text: string;
  /** The error event, where one came. */
  readonly error: Json | null;
  /** The body ended as an HTTP body does; `false`: abnormally. */
  readonly endedWell: boolean;
  /** `[DONE]` came. */
  readonly isDone: boolean;
  /** The trace's short form, where a chunk carried it. */
  readonly flow: Json | null;
}

/** Sends a streamed request and hands on its text as it comes. Throws what the host refuses. */
export async function streamChat(
  client: Client,
  request: Json,
  onText: (text: string) => void,
  headers: Readonly<Record<string, string>> = {},
): Promise<StreamEnd> {
  const body = JSON.stringify({ ...request, stream: true });
  const response = await client.send("POST", "/v1/chat/completions", { body, headers });
  if (!response.ok || response.body === null) {
    throw refused(client.origin, response.status, tryParseJson(await response.text()), "", "");
  }
  let [text, pending] = ["", ""];
  let [endedWell, isDone] = [true, false];
  let error: Json | null = null;
  let flow: Json | null = null;
  const event = (line: string): void => {
    if (!line.startsWith("data:")) return;
    const data = line.slice("data:".length).trim();
    isDone ||= data === "[DONE]";
    const chunk = tryParseJson(data);
    if (!isJsonObject(chunk)) return;
    if (isJsonObject(chunk["error"])) error = chunk["error"];
    if (isJsonObject(chunk["flow"])) flow = chunk["flow"];
    const [choice] = Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
    const delta = isJsonObject(choice) && isJsonObject(choice["delta"]) ? choice["delta"]["content"] : undefined;
    if (typeof delta !== "string") return;
    text += delta;
    onText(delta);
  };
  try {
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (pending + piece).split(/\r?\n/);
      pending = lines.pop() ?? "";
      for (const line of lines) event(line);
    }
  } catch {
    endedWell = false;
  }
  return { headers: response.headers, text, error, endedWell, isDone, flow };
}

/** Providers of the answer's attempts that refused the router's own credential, by id. */
export function refusedCredentials(headers: Headers): string[] {
  const attempts = (headers.get("x-flowlayer-attempt-log") ?? "").split(", ").map((entry) => entry.split(";"));
  const refused = attempts.filter(([, outcome]) => outcome === "auth");
  return [...new Set(refused.map(([target = ""]) => target.split("/")[0] ?? ""))];
}

/** `openai/gpt-5.2 in 812 ms, $0.0012`, from the headers of an answer. */
export function answeredBy(headers: Headers): string {
  const header = (name: string): string => headers.get(`x-flowlayer-${name}`) ?? "";
  const cost = header("cost-usd");
  const reason = header("fallback-reason");
  const after = reason === "" ? "" : `, after ${reason}`;
  return `${header("provider")}/${header("model")} in ${header("latency-ms")} ms${cost === "" ? "" : `, $${cost}`}${after}`;
}
