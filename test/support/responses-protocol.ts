/**
 * A strict reader of the Responses event protocol, and no code of the router's: what it collects is what the deltas add
 * up to, and everything that a later event repeats has to be equal to it.
 *
 * https://developers.openai.com/api/reference/resources/responses/streaming-events
 */
import { isDeepStrictEqual } from "node:util";

type Json = Record<string, unknown>;

/** What a provider's own stream may do against its protocol. A writer of ours gets none of it. */
export interface Leniency {
  readonly noEventLines?: boolean;
  readonly noSequence?: boolean;
  readonly emptySnapshot?: boolean;
  /** `created_at`, `model` and the like may differ between snapshots. */
  readonly changingHead?: boolean;
  /** No `[DONE]` after the last event. */
  readonly noDone?: boolean;
  /** Items that were not closed, came without their deltas, or are encrypted once more in the last snapshot. */
  readonly looseItems?: boolean;
  /** An `error` event before `response.failed`. */
  readonly errorEvent?: boolean;
}

export interface ReadProtocol {
  readonly faults: string[];
  /** Types of the events in order. */
  readonly types: string[];
  /** The response of the last event; `null` where none ended the stream. */
  readonly response: Json | null;
  /** Items by what their own events add up to. */
  readonly items: Json[];
}

interface ItemState {
  readonly id: string;
  readonly type: string;
  readonly added: Json;
  readonly parts: Json[];
  readonly closed: Set<number>;
  summary: string[];
  summaryDone: number;
  args: string;
  argsDone: boolean;
  done: Json | null;
}

const ENDS: Readonly<Record<string, string>> = {
  "response.completed": "completed",
  "response.incomplete": "incomplete",
  "response.failed": "failed",
};

export function readProtocol(text: string, lenient: Leniency = {}): ReadProtocol {
  const reader = new Reader(lenient);
  const frames = text.split(/\r?\n\r?\n/);
  const tail = frames.pop();
  if (tail !== undefined && tail.trim() !== "") reader.fault(`the stream ends inside an event: ${tail.slice(0, 80)}`);
  for (const frame of frames) if (!frame.startsWith(":")) reader.frame(frame);
  reader.close();
  return reader;
}

class Reader implements ReadProtocol {
  readonly faults: string[] = [];
  readonly types: string[] = [];
  response: Json | null = null;
  readonly #lenient: Leniency;
  readonly #items: ItemState[] = [];
  readonly #ids = new Set<string>();
  #sequence = 0;
  #head: Json | null = null;
  #isDone = false;

  constructor(lenient: Leniency) {
    this.#lenient = lenient;
  }

  get items(): Json[] {
    return this.#items.map(({ done, added }) => done ?? added);
  }

  fault(text: string): void {
    this.faults.push(`${this.types.length}. ${this.types.at(-1) ?? "start"}: ${text}`);
  }

  frame(frame: string): void {
    const lines = frame.split(/\r?\n/);
    const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
    const event = lines
      .find((line) => line.startsWith("event:"))
      ?.slice(6)
      .trim();
    if (data.length !== 1) this.fault(`${data.length} data lines`);
    if (this.#isDone) this.fault("something follows [DONE]");
    if (data[0] === "[DONE]") {
      this.#isDone = true;
      if (this.response === null) this.fault("[DONE] without a last event");
      return;
    }
    const value = JSON.parse(data[0] ?? "null") as Json;
    const type = String(value["type"]);
    this.types.push(type);
    if (event !== type && this.#lenient.noEventLines !== true) this.fault(`the event line says ${event}`);
    if (this.response !== null) this.fault("an event follows the last one");
    const expected = this.#sequence++;
    if (value["sequence_number"] !== expected && this.#lenient.noSequence !== true) {
      this.fault(`sequence_number ${String(value["sequence_number"])}, not ${expected}`);
    }
    this.#event(type, value);
  }

  close(): void {
    if (this.response === null) this.fault("the stream has no last event");
    if (!this.#isDone && this.#lenient.noDone !== true) this.fault("no [DONE]");
  }

  #event(type: string, event: Json): void {
    if (type === "response.created" || type === "response.in_progress") {
      if (this.types.indexOf(type) !== this.types.length - 1) this.fault("twice");
      if (type === "response.created" && this.types.length > 1) this.fault("not the first");
      this.#snapshot(event["response"] as Json, "in_progress");
      return;
    }
    if (type === "error" && this.#lenient.errorEvent === true) return;
    if (this.#head === null) this.fault("before response.created");
    const status = ENDS[type];
    if (status !== undefined) {
      this.response = event["response"] as Json;
      this.#snapshot(this.response, status);
      this.#checkOutput(this.response["output"] as Json[], status);
      return;
    }
    if (type === "response.output_item.added") {
      this.#added(event);
      return;
    }
    const item = this.#items[event["output_index"] as number];
    if (item === undefined) {
      this.fault("of an item that was not added");
      return;
    }
    if (item.done !== null) {
      this.fault("of an item that is done");
      return;
    }
    if (type === "response.output_item.done") {
      this.#done(item, event["item"] as Json);
      return;
    }
    if (event["item_id"] !== item.id) this.fault(`item_id ${String(event["item_id"])}, not ${item.id}`);
    this.#inside(type, item, event);
  }

  #snapshot(response: Json, status: string): void {
    const { id, object, created_at, model, output } = response;
    if (response["status"] !== status) this.fault(`status ${String(response["status"])}, not ${status}`);
    if (object !== "response") this.fault("object is not response");
    if (!Array.isArray(output)) this.fault("output is no list");
    const head = { id, created_at, model };
    this.#head ??= head;
    if (this.#lenient.changingHead !== true && !isDeepStrictEqual(head, this.#head)) this.fault("the head changed");
    if (status === "in_progress" && (output as Json[]).length > 0) this.fault("an output before its items");
    if ((status === "failed") !== (response["error"] !== null)) this.fault("error and status disagree");
    if ((status === "incomplete") !== (response["incomplete_details"] !== null)) {
      this.fault("incomplete_details and status disagree");
    }
  }

  #added(event: Json): void {
    const item = event["item"] as Json;
    const id = String(item["id"] ?? "");
    if (event["output_index"] !== this.#items.length) this.fault(`output_index ${String(event["output_index"])}`);
    if (id === "" || this.#ids.has(id)) this.fault(`the id ${id} is empty or taken`);
    this.#ids.add(id);
    const callId = item["call_id"];
    if (typeof callId === "string") {
      if (this.#ids.has(`call ${callId}`)) this.fault(`the call_id ${callId} is taken`);
      this.#ids.add(`call ${callId}`);
    }
    const args = String(item["arguments"] ?? item["input"] ?? "");
    this.#items.push({
      ...{ id, type: String(item["type"]), added: item, parts: [], closed: new Set(), summary: [], summaryDone: 0 },
      ...{ args, argsDone: false, done: null },
    });
  }

  #inside(type: string, item: ItemState, event: Json): void {
    const at = event["content_index"] as number;
    const part = item.parts[at];
    switch (type) {
      case "response.content_part.added":
        if (item.type !== "message" && item.type !== "reasoning") this.fault(`a content part in a ${item.type}`);
        if (at !== item.parts.length) this.fault(`content_index ${at}`);
        if (item.parts.some((_, index) => !item.closed.has(index))) this.fault("the part before is open");
        item.parts.push(structuredClone(event["part"] as Json));
        return;
      case "response.output_text.delta":
      case "response.refusal.delta":
      case "response.reasoning_text.delta": {
        if (event["delta"] === "") this.fault("an empty delta");
        if (part === undefined || item.closed.has(at)) {
          this.fault("no open part");
          return;
        }
        const member = type === "response.refusal.delta" ? "refusal" : "text";
        part[member] = String(part[member] ?? "") + String(event["delta"]);
        if (Array.isArray(event["logprobs"])) {
          part["logprobs"] = [...((part["logprobs"] as unknown[]) ?? []), ...event["logprobs"]];
        }
        return;
      }
      case "response.output_text.annotation.added": {
        const annotations = part?.["annotations"];
        if (!Array.isArray(annotations)) {
          this.fault("no open text");
          return;
        }
        if (event["annotation_index"] !== annotations.length) this.fault("annotation_index");
        annotations.push(event["annotation"]);
        return;
      }
      case "response.output_text.done":
      case "response.reasoning_text.done":
        if (part?.["text"] !== event["text"]) this.fault("the text is not what the deltas add up to");
        return;
      case "response.refusal.done":
        if (part?.["refusal"] !== event["refusal"]) this.fault("the refusal is not what the deltas add up to");
        return;
      case "response.content_part.done":
        if (!isDeepStrictEqual(part, event["part"])) this.fault("the part is not what the deltas add up to");
        item.closed.add(at);
        return;
      default:
        this.#insideOther(type, item, event);
    }
  }

  #insideOther(type: string, item: ItemState, event: Json): void {
    const at = event["summary_index"] as number;
    switch (type) {
      case "response.reasoning_summary_part.added":
        if (at !== item.summary.length) this.fault(`summary_index ${at}`);
        item.summary.push("");
        return;
      case "response.reasoning_summary_text.delta":
        if (item.summary[at] === undefined) {
          this.fault("no open summary");
          return;
        }
        item.summary[at] += String(event["delta"]);
        return;
      case "response.reasoning_summary_text.done":
        if (item.summary[at] !== event["text"]) this.fault("the summary is not what the deltas add up to");
        return;
      case "response.reasoning_summary_part.done":
        if (item.summary[at] !== (event["part"] as Json)["text"])
          this.fault("the part is not what the deltas add up to");
        item.summaryDone++;
        return;
      case "response.function_call_arguments.delta":
      case "response.custom_tool_call_input.delta":
        if (item.argsDone) this.fault("arguments after their end");
        item.args += String(event["delta"]);
        return;
      case "response.function_call_arguments.done":
      case "response.custom_tool_call_input.done":
        if (item.args !== (event["arguments"] ?? event["input"])) this.fault("not what the deltas add up to");
        item.argsDone = true;
        return;
      default:
        // Progress of a provider's own tools.
        if (!/^response\.(web_search|file_search|code_interpreter|image_generation|mcp)_/.test(type)) {
          this.fault("an unknown event");
        }
    }
  }

  #done(item: ItemState, done: Json): void {
    item.done = done;
    if (done["id"] !== item.id || done["type"] !== item.type) this.fault("another id or type than before");
    if (this.#lenient.looseItems === true) return;
    const says = (name: string, value: unknown): void => {
      if (!isDeepStrictEqual(done[name], value)) this.fault(`${name} is not what the deltas add up to`);
    };
    switch (item.type) {
      case "message":
        says("content", item.parts);
        says("role", "assistant");
        if (item.closed.size !== item.parts.length) this.fault("a part is open");
        break;
      case "reasoning":
        says(
          "summary",
          item.summary.map((text) => ({ type: "summary_text", text })),
        );
        if (item.summaryDone !== item.summary.length) this.fault("a summary is open");
        break;
      case "function_call":
      case "custom_tool_call":
        says(item.type === "function_call" ? "arguments" : "input", item.args);
        says("call_id", item.added["call_id"]);
        says("name", item.added["name"]);
        if (!item.argsDone) this.fault("the arguments are open");
        break;
      default:
        break;
    }
    if (done["status"] === "in_progress") this.fault("done, and in progress");
  }

  #checkOutput(output: Json[], status: string): void {
    if (this.#lenient.emptySnapshot === true && output.length === 0) return;
    const unfinished = this.#items.filter(({ done }) => done === null);
    if (status !== "failed" && unfinished.length > 0 && this.#lenient.looseItems !== true) this.fault("items are open");
    if (output.length !== this.#items.length) {
      this.fault(`${output.length} items of ${this.#items.length}`);
      return;
    }
    for (const [index, item] of this.#items.entries()) {
      const shown = output[index];
      if (item.done !== null) {
        if (this.#lenient.looseItems !== true && !isDeepStrictEqual(shown, item.done))
          this.fault(`item ${index} is not what it was when it was done`);
        continue;
      }
      if (this.#lenient.looseItems === true) continue;
      if (shown?.["id"] !== item.id || shown["status"] !== "incomplete") this.fault(`item ${index} is not incomplete`);
      const said = shown?.["arguments"] ?? shown?.["input"];
      if (said !== undefined && said !== item.args) this.fault(`item ${index} has other arguments`);
      if (item.type === "message" && !isDeepStrictEqual(shown?.["content"], item.parts)) {
        this.fault(`item ${index} has other content`);
      }
    }
  }
}
