/** What becomes of the controls that a wire has no member for. A wire that forgets one does not compile. */
import type { Controls, Conversation } from "../conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../conversation/loss.ts";

/** `written`: the wire writes it, and says itself what it could not write of it. */
export type ControlFate = "written" | Loss["weight"];

export type ControlFates = Readonly<Record<keyof Controls, ControlFate>>;

const CODES: Readonly<Partial<Record<keyof Controls, Loss["code"]>>> = { n: "choices", modalities: "modality" };
const WHY: Readonly<Partial<Record<keyof Controls, string>>> = {
  n: "It gives one choice per request. Send the request once for each choice.",
  modalities: "Its answers are text only.",
};

/** A loss for each control that asks for something and is not `written`. */
export function controlLosses({ controls, spelling }: Conversation, fates: ControlFates): Loss[] {
  return (Object.keys(fates) as (keyof Controls)[]).flatMap((name): Loss[] => {
    const fate = fates[name];
    if (fate === "written" || !asksFor(name, controls[name])) return [];
    const path = (name === "reasoning" ? controls.reasoning?.path : spelling[name]) ?? name;
    const code = CODES[name] ?? "control";
    if (fate === "harmless") return [harmless(path, code)];
    return [fate === "unmet" ? unmet(path, code, WHY[name]) : changesMeaning(path, code, WHY[name])];
  });
}

/** Does leaving it out change anything that was asked for? `n: 1`, a penalty of 0 and `["text"]` ask for nothing. */
function asksFor(name: keyof Controls, value: unknown): boolean {
  if (value === undefined) return false;
  switch (name) {
    case "n":
      return Number(value) > 1;
    case "presencePenalty":
    case "frequencyPenalty":
    case "topLogprobs":
      return value !== 0;
    case "repetitionPenalty":
      return value !== 1;
    case "logprobs":
    case "store":
      return value === true;
    case "parallelToolCalls":
      return value === false;
    case "logitBias":
    case "metadata":
      return typeof value === "object" && value !== null && Object.keys(value).length > 0;
    case "modalities":
      return Array.isArray(value) && value.some((each) => each !== "text");
    case "truncation":
      return value !== "disabled";
    default:
      return true;
  }
}
