/**
 * Members of an answer that the core has no place for, and that may pass a gate all the same. An allow-list: what is
 * not named here may be a call in some reader's eyes.
 */
import type { Answer, AnswerEvent } from "../conversation/answer.ts";
import type { Json } from "../conversation/part.ts";
import type { ToolRules } from "./match.ts";
import { BlockFilter } from "./provider-run.ts";

const HARMLESS: ReadonlySet<string> = new Set([
  ...["system_fingerprint", "service_tier", "provider", "citations", "search_results", "annotations", "audio"],
  ...["reasoning_details", "stop_details", "stop_sequence", "safety_ratings", "prompt_feedback"],
]);

/** Only what is harmless of `members`; the same object where all is. */
function harmlessOf(members: Json): Json {
  const names = Object.keys(members);
  const kept = names.filter((name) => HARMLESS.has(name));
  return kept.length === names.length ? members : Object.fromEntries(kept.map((name) => [name, members[name]]));
}

/** `null`: nothing of it passes. */
export function harmlessEvent(event: Extract<AnswerEvent, { kind: "extra" }>): AnswerEvent | null {
  const members = harmlessOf(event.members);
  if (Object.keys(members).length === 0) return null;
  return members === event.members ? event : { ...event, members };
}

export function harmlessAnswer(answer: Answer): Answer {
  return {
    ...answer,
    ...(answer.extra === undefined ? {} : { extra: harmlessOf(answer.extra) }),
    choices: answer.choices.map((choice) =>
      choice.extra === undefined ? choice : { ...choice, extra: harmlessOf(choice.extra) },
    ),
  };
}

/** Without blocks of tools that no rule lets a provider run by itself; the same object where there are none. */
export function withNamedBlocks(answer: Answer, rules: ToolRules): Answer {
  const filter = new BlockFilter(rules);
  let isSame = true;
  const choices = answer.choices.map((choice) => {
    const parts = choice.parts.filter((part) => part.kind !== "block" || filter.mayPass(part.bound));
    if (parts.length === choice.parts.length) return choice;
    isSame = false;
    return { ...choice, parts };
  });
  return isSame ? answer : { ...answer, choices };
}
