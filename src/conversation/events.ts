/** A whole answer as the events that a stream of it would have, so that what is made from events needs no second way. */
import type { Answer, AnswerChoice, AnswerEvent } from "./answer.ts";
import { type Part, unreachable } from "./part.ts";

export function eventsOf(answer: Answer): AnswerEvent[] {
  const events: AnswerEvent[] = [{ kind: "start", id: answer.id, model: answer.model }];
  for (const [choice, each] of answer.choices.entries()) events.push(...choiceEvents(choice, each));
  if (answer.extra !== undefined) events.push({ kind: "extra", choice: null, members: answer.extra });
  const { usage: counts, rawUsage } = answer;
  if (counts !== null || rawUsage !== undefined) events.push({ kind: "usage", counts, raw: rawUsage ?? {} });
  return events;
}

function choiceEvents(choice: number, { parts, finish, logprobs, extra }: AnswerChoice): AnswerEvent[] {
  const events: AnswerEvent[] = [];
  let calls = 0;
  let rest = logprobs;
  for (const part of parts) {
    const made = partEvents(choice, part, part.kind === "call" ? calls++ : 0);
    // Those of the whole choice go with its first text.
    const text = made.findIndex(({ kind }) => kind === "text");
    const first = made[text];
    if (rest !== undefined && first?.kind === "text") {
      made[text] = { ...first, logprobs: rest };
      rest = undefined;
    }
    events.push(...made);
  }
  if (extra !== undefined) events.push({ kind: "extra", choice, members: extra });
  events.push({ kind: "finish", choice, finish });
  return events;
}

/** `index`: of the call, among those of its choice. */
export function partEvents(choice: number, part: Part, index: number): AnswerEvent[] {
  switch (part.kind) {
    case "text": {
      const { text, citations, bound } = part;
      const cited = (citations ?? []).map((citation): AnswerEvent => ({ kind: "citation", choice, citation }));
      const attached: AnswerEvent[] = bound === undefined ? [] : [{ kind: "bound", choice, of: "text", bound }];
      return [{ kind: "text", choice, text, begins: true }, ...cited, ...attached];
    }
    case "reasoning": {
      const { text, form, bound } = part;
      if (text === "") return bound === undefined ? [] : [{ kind: "bound", choice, of: "own", bound }];
      const attached: AnswerEvent[] = bound === undefined ? [] : [{ kind: "bound", choice, of: "reasoning", bound }];
      return [{ kind: "reasoning", choice, text, begins: true, form }, ...attached];
    }
    case "refusal":
      return [{ kind: "refusal", choice, text: part.text }];
    case "call": {
      const { id, name, namespace, form, isLegacy, bound, args } = part;
      return [
        {
          ...({ kind: "call_start", choice, index, id, name, form } as const),
          ...(namespace === undefined ? {} : { namespace }),
          ...(isLegacy === undefined ? {} : { isLegacy }),
          ...(bound === undefined ? {} : { bound }),
        },
        { kind: "call_args", choice, index, text: args },
        { kind: "call_end", choice, index },
      ];
    }
    case "block":
      return [{ kind: "block", choice, bound: part.bound }];
    case "image":
    case "audio": {
      const { media } = part;
      const url =
        media.kind === "base64"
          ? `data:${media.mediaType};base64,${media.data}`
          : media.kind === "url"
            ? media.url
            : "";
      const source =
        part.kind === "image"
          ? { type: "image_url", image_url: { url } }
          : { type: "audio", data: media.kind === "base64" ? media.data : "" };
      return [{ kind: "media", choice, media: part.kind, source }];
    }
    case "video":
    case "file":
    case "result":
    case "opaque":
      // No answer has them.
      return [];
    default:
      return unreachable(part);
  }
}
