/**
 * Ids of calls as the provider takes them: word characters and dashes, each once in a conversation.
 *
 * Old clients use a function's name as the id of every call, so one id may stand for several calls. Their results come in
 * the order of the calls. Each id is looked at a bounded number of times, whatever the client sends.
 */
export class CallIds {
  readonly #sent = new Set<string>();
  /** The last number that was tried behind an id. */
  readonly #copies = new Map<string, number>();
  /** The client's id to what was sent for it; those before `next` have their results. */
  readonly #waiting = new Map<string, { readonly ids: string[]; next: number }>();

  /** The id to send for a call. */
  begin(id: string): string {
    const base = plain(id);
    let sent = base;
    let copy = this.#copies.get(base) ?? 1;
    while (this.#sent.has(sent)) sent = `${base}_${++copy}`;
    this.#copies.set(base, copy);
    this.#sent.add(sent);
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) this.#waiting.set(id, { ids: [sent], next: 0 });
    else waiting.ids.push(sent);
    return sent;
  }

  /** The id of the call that a result answers: of several, the first without one. */
  answer(id: string): string {
    const waiting = this.#waiting.get(id);
    return waiting?.ids[waiting.next++] ?? plain(id);
  }
}

/** https://platform.claude.com/docs/en/api/messages: `^[a-zA-Z0-9_-]+$`. */
function plain(id: string): string {
  return id.replace(/[^\w-]/g, "_") || "call";
}
