/** Calls of the client's tools and their results as a request carries them, for the code that decides about them. */
import type { Turn } from "./conversation.ts";
import type { CallPart } from "./part.ts";

export type CallKind = "function" | "custom" | "legacy";

/** A call as a model made it. */
export interface SeenCall {
  /** As the provider gave it; `null` where it gave none, as for every legacy call. */
  readonly id: string | null;
  readonly kind: CallKind;
  /** Empty where the model named none. */
  readonly name: string;
  /** Byte for byte. */
  readonly arguments: string;
  /** Others may read something else in it: two kinds of call in one, or numbers that lost digits when they were read. */
  readonly isUnclear?: true;
}

/** What the result of a call refers to: the call's id, or, in the legacy form, the tool's name. */
export interface SeenResult {
  readonly by: "id" | "name";
  /** Empty where it says nothing. */
  readonly value: string;
}

/** The calls and results of one turn, in its order; results come first. */
export interface ToolTurn {
  readonly results: readonly SeenResult[];
  readonly calls: readonly SeenCall[];
  /** Every reader takes its calls for calls. */
  readonly isOpen: boolean;
}

export function seenCall({ id, name, namespace, form, isLegacy, args, isUnclear }: CallPart): SeenCall {
  return {
    ...(isUnclear === true ? { isUnclear } : {}),
    id: isLegacy === true || id === "" ? null : id,
    kind: isLegacy === true ? "legacy" : form,
    name: namespace === undefined ? name : `${namespace}.${name}`,
    arguments: args,
  };
}

/** What the turns of a conversation call and answer. Turns that do neither are left out. */
export function toolTurnsOf(turns: readonly Turn[]): ToolTurn[] {
  return turns.flatMap(({ role, parts }): ToolTurn[] => {
    const calls = parts.flatMap((part) => (part.kind === "call" ? [seenCall(part)] : []));
    const results = parts.flatMap((part): SeenResult[] =>
      part.kind === "result" ? [{ by: "id", value: part.callId }] : [],
    );
    return calls.length + results.length === 0 ? [] : [{ results, calls, isOpen: role === "assistant" }];
  });
}
