/** Results of a conversation as claims to be held against the record of calls. */
import type { SeenCall, SeenResult, ToolTurn } from "../conversation/tool-turns.ts";
import type { CallClaim, ResultClaim } from "./types.ts";

/**
 * The tool results of a conversation, one per call, each with every call that it may be the result of: for a result that
 * gives an id those of that id, for the legacy `role:"function"` those of its name.
 *
 * A result that answers no open call of the conversation may be taken for that of any: providers go by order, and adapters
 * make other ids where an id is odd. With it every call of the conversation has to be one whose result is admitted.
 */
export function readResults(turns: readonly ToolTurn[]): ResultClaim[] {
  const reader = new ResultReader();
  for (const turn of turns) reader.add(turn);
  return reader.end();
}

/** The id that adapters give a legacy call, which has none, and its result. */
const legacyId = (name: string): string => `call_${name}`;

class ResultReader {
  readonly #byId = new Map<string, CallClaim[]>();
  readonly #byName = new Map<string, CallClaim[]>();
  readonly #withoutId: CallClaim[] = [];
  /** How many calls of an id have no result yet. */
  readonly #open = new Map<string, number>();
  readonly #resultIds = new Set<string>();
  readonly #resultNames = new Set<string>();
  #isStray = false;

  add({ results, calls, isOpen }: ToolTurn): void {
    for (const result of results) this.#addResult(result);
    for (const call of calls) this.#addCall(call, isOpen);
  }

  #addResult({ by, value }: SeenResult): void {
    if (by === "id") this.#resultIds.add(value);
    else this.#resultNames.add(value);
    this.#close(by === "id" ? value : legacyId(value));
  }

  #close(id: string): void {
    const open = this.#open.get(id) ?? 0;
    if (open === 0) this.#isStray = true;
    else this.#open.set(id, open - 1);
  }

  /** `isOpen`: every reader takes it for a call. */
  #addCall({ id, kind, name, arguments: text, isUnclear }: SeenCall, isOpen: boolean): void {
    const claim = { kind, name, arguments: isUnclear === true ? null : text };
    append(this.#byName, name, claim);
    const ownId = id ?? (kind === "legacy" && name !== "" ? legacyId(name) : null);
    if (isOpen && ownId !== null) this.#open.set(ownId, (this.#open.get(ownId) ?? 0) + 1);
    if (id === null) this.#withoutId.push(claim);
    else append(this.#byId, id, claim);
  }

  end(): ResultClaim[] {
    const legacyIds = new Set([...this.#resultNames].map(legacyId));
    const ids = new Set(this.#resultIds);
    for (const id of this.#byId.keys()) if (this.#isStray || legacyIds.has(id)) ids.add(id);
    const named = new Set([...this.#resultNames].flatMap((name) => this.#byName.get(name) ?? []));
    for (const call of this.#withoutId) {
      if (this.#isStray || this.#resultIds.has(legacyId(call.name))) named.add(call);
    }
    const strayNames = [...this.#resultNames].filter((name) => !this.#byName.has(name));
    return [
      ...[...ids].map((id) => ({ by: "id" as const, id, calls: this.#byId.get(id) ?? [] })),
      ...[...named].map((call) => ({ by: "name" as const, id: call.name, calls: [call] })),
      ...strayNames.map((id) => ({ by: "name" as const, id, calls: [] })),
    ];
  }
}

function append(lists: Map<string, CallClaim[]>, key: string, claim: CallClaim): void {
  const known = lists.get(key);
  if (known === undefined) lists.set(key, [claim]);
  else known.push(claim);
}

/** Ids that a conversation uses already: a new call with one of them could not be distinguished from the old one. */
export function usedIds(turns: readonly ToolTurn[]): string[] {
  return turns.flatMap(({ results, calls }) => [
    ...results.flatMap(({ by, value }) => (by === "id" ? [value] : [])),
    ...calls.flatMap(({ id }) => (id === null ? [] : [id])),
  ]);
}
