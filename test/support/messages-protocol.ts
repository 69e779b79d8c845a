/**
 * A strict reader of the Messages event protocol, and no code of the router's: what it collects is what the deltas add up
 * to.
 *
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
type Json = Record<string, unknown>;

export interface ReadMessage {
  readonly faults: string[];
  /** Types of the events in order, pings left out. */
  readonly types: string[];
  readonly content: Json[];
  readonly stopReason: string | null;
  readonly usage: Json;
  readonly error: Json | null;
  /** The router's member, from the last `message_delta`. */
  readonly flow: Json | undefined;
}

const DELTAS: Readonly<Record<string, readonly [block: string, member: string]>> = {
  text_delta: ["text", "text"],
  thinking_delta: ["thinking", "thinking"],
  signature_delta: ["thinking", "signature"],
};

export function readMessage(text: string): ReadMessage {
  const faults: string[] = [];
  const types: string[] = [];
  const content: Json[] = [];
  let stopReason: string | null = null;
  let usage: Json = {};
  let error: Json | null = null;
  let flow: Json | undefined;
  let open: number | null = null;
  let json = "";
  const fault = (what: string): number => faults.push(`${types.length}. ${types.at(-1) ?? "start"}: ${what}`);
  const frames = text.split(/\r?\n\r?\n/);
  const tail = frames.pop() ?? "";
  if (tail.trim() !== "") fault(`ends inside an event: ${tail.slice(0, 80)}`);
  for (const frame of frames) {
    if (frame.trim() === "" || frame.startsWith(":")) continue;
    const lines = frame.split(/\r?\n/);
    const data = lines.filter((line) => line.startsWith("data:"));
    if (data.length !== 1) fault(`${data.length} data lines`);
    const event = JSON.parse(data[0]?.slice(5) ?? "{}") as Json;
    const type = String(event["type"]);
    const line = lines.find((each) => each.startsWith("event:"))?.slice(6);
    if (line?.trim() !== type) fault(`${type} under the line ${line}`);
    if (type === "ping") continue;
    if (types.at(-1) === "message_stop" || error !== null) fault(`${type} after the end`);
    if (types.length === 0 && type !== "message_start" && type !== "error") fault(`begins with ${type}`);
    types.push(type);
    const { index } = event;
    const delta = (event["delta"] ?? {}) as Json;
    switch (type) {
      case "message_start": {
        const message = event["message"] as Json;
        usage = { ...(message["usage"] as Json) };
        if (message["type"] !== "message" || message["role"] !== "assistant") fault("no message");
        if (!Array.isArray(message["content"]) || message["content"].length > 0) fault("content before its blocks");
        break;
      }
      case "content_block_start":
        if (open !== null) fault("a block is open");
        if (index !== content.length) fault(`index ${String(index)}`);
        open = content.length;
        json = "";
        content.push(structuredClone(event["content_block"] as Json));
        break;
      case "content_block_delta": {
        const block = content[index as number];
        if (open !== index || block === undefined) fault("its block is not open");
        else if (delta["type"] === "input_json_delta") json += String(delta["partial_json"]);
        else if (delta["type"] !== "citations_delta") {
          const [kind, member] = DELTAS[String(delta["type"])] ?? ["", ""];
          if (kind !== block["type"]) fault(`${String(delta["type"])} in a ${String(block["type"])}`);
          block[member] = String(block[member] ?? "") + String(delta[member]);
        }
        break;
      }
      case "content_block_stop": {
        const block = content[index as number];
        if (open !== index) fault("its block is not open");
        if (json !== "" && block !== undefined) block["input"] = JSON.parse(json);
        open = null;
        break;
      }
      case "message_delta":
        if (open !== null) fault("a block is open");
        stopReason = (delta["stop_reason"] as string | null) ?? stopReason;
        usage = { ...usage, ...(event["usage"] as Json) };
        flow = event["flow"] as Json | undefined;
        break;
      case "message_stop":
        if (stopReason === null) fault("no stop_reason before it");
        break;
      case "error":
        error = event["error"] as Json;
        break;
      default:
        fault(`unknown event ${type}`);
    }
  }
  if (error === null && types.at(-1) !== "message_stop") fault("no message_stop");
  const called = content.some((block) => block["type"] === "tool_use");
  if (called && stopReason === "end_turn") fault("calls that end a turn");
  return { faults, types, content, stopReason, usage, error, flow };
}
