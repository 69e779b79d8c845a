/** A Responses stream whose events are forwarded: the members that the router decides, and its end. */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../../lib/json.ts";
import { dataOf, withData } from "../../sse-items.ts";
import type { AnswerContext, AnswerWriter } from "../../wire.ts";
import { objectsOf } from "../items.ts";
import { responseHead, responseId } from "../response.ts";
import { outputOf } from "./snapshot.ts";

const SNAPSHOT = /(?:^event: ?|"type":\s*")response\.(?:created|queued|in_progress)"?\s/;
const ITEM_ADDED = /(?:^event: ?|"type":\s*")response\.output_item\.added"?\s/;
const ITEM_DONE = /(?:^event: ?|"type":\s*")response\.output_item\.done"?\s/;
/** The type of an event is within so many characters of its beginning. */
const HEAD_LENGTH = 160;
const SEQUENCE = /"sequence_number":\s*(\d{1,9})/g;
/** A response above that is not stored. In characters. */
const MAX_KEPT_LENGTH = 8_388_608;

export class ResponseForwarder implements AnswerWriter {
  readonly #context: AnswerContext;
  readonly #members: Json;
  #first = "";
  /** The last event, or the last batch of them. */
  #last = "";
  #count = 0;
  /** The events that closed items, and all of those that are open. */
  readonly #items: string[] = [];
  #open: string[] = [];
  #openCount = 0;
  #length = 0;
  #closing = "";
  #flow: Json | undefined;

  constructor(context: AnswerContext, members: Json) {
    this.#context = context;
    this.#members = members;
  }

  forward(raw: string): string {
    this.#last = raw;
    this.#count += Math.max(1, raw.split("\n\n").length - 1);
    const head = `${raw.slice(0, HEAD_LENGTH)} `.replaceAll(",", " ");
    if (SNAPSHOT.test(head)) {
      const edited = withMembers(raw, this.#members);
      if (this.#first === "") this.#first = edited;
      return edited;
    }
    if (this.#length + raw.length > MAX_KEPT_LENGTH) return raw;
    if (ITEM_ADDED.test(head)) this.#openCount++;
    const isDone = ITEM_DONE.test(head);
    if (isDone) this.#openCount--;
    (isDone ? this.#items : this.#open).push(raw);
    this.#length += raw.length;
    // An item that is closed is all that was said of it.
    if (isDone && this.#openCount <= 0) {
      this.#length -= this.#open.reduce((sum, each) => sum + each.length, 0);
      this.#open = [];
    }
    return raw;
  }

  hold(raw: string): void {
    this.#closing = raw;
  }

  write(): string {
    return "";
  }

  skip(): void {}

  attach(flow: Json): void {
    this.#flow = flow;
  }

  finished(): Json {
    const response = { ...responseIn(this.#closing), ...this.#members };
    const output = objectsOf(response["output"]);
    // Some providers leave the items out of their last snapshot.
    return output.length > 0 ? response : { ...response, output: this.#output() };
  }

  end(flow: Json | undefined = this.#flow, members: Json = {}): string {
    const added = { ...this.#members, ...members, ...(flow === undefined ? {} : { flow }) };
    return withMembers(this.#closing, added);
  }

  fail(message: string): string {
    const numbered = [...this.#last.matchAll(SEQUENCE)].at(-1)?.[1];
    const sequence = numbered === undefined ? this.#count : Number(numbered) + 1;
    return failedEvent(
      this.#context,
      responseIn(this.#first),
      { message, sequence, output: this.#output() },
      this.#flow,
    );
  }

  #output(): readonly Json[] {
    return outputOf([...this.#open, ...this.#items].join(""));
  }
}

/** The last word on an answer that broke. `head`: its response as it began. */
export function failedEvent(
  context: AnswerContext,
  head: Json,
  { message, sequence, output }: { message: string; sequence: number; output: readonly Json[] },
  flow: Json = {},
): string {
  const known =
    head["id"] === undefined ? responseHead(responseId(undefined, context.traceId), context.model, context) : head;
  const response = {
    ...known,
    status: "failed",
    error: { code: "server_error", message },
    output,
    flow: { ...flow, code: "stream_interrupted" },
  };
  const event = { type: "response.failed", sequence_number: sequence, response };
  return `event: response.failed\ndata: ${JSON.stringify(event)}\n\ndata: [DONE]\n\n`;
}

function responseIn(raw: string): Json {
  const event = raw === "" ? undefined : tryParseJson(dataOf(raw));
  const response = isJsonObject(event) ? event["response"] : undefined;
  return isJsonObject(response) ? response : {};
}

/** The event with members of its response set. */
function withMembers(raw: string, members: Json): string {
  if (Object.keys(members).length === 0) return raw;
  return withData(raw, (data) => {
    const event = new JsonEdit(data);
    const response = event.raw("response");
    if (response?.startsWith("{") !== true) return data;
    return event.setRaw("response", setMembers(response, members)).toString();
  });
}

/** `text`, a response, with these members. */
export function setMembers(text: string, members: Json): string {
  const edit = new JsonEdit(text);
  for (const [name, value] of Object.entries(members)) edit.set(name, value);
  return edit.toString();
}
