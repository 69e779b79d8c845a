/** What has come of one attempt's answer so far. Facts only: what they cost is `billing.ts`'s to say. */
import { utf8Length } from "../lib/utf8-length.ts";
import { textTokens, tokensOf } from "../pricing/count.ts";

/** Visible output, by what it is. */
export type OutputKind = "text" | "reasoning" | "call";

export interface OutputPiece {
  readonly kind: OutputKind;
  readonly text: string;
}

const ANSWER_ID = /^[\w.:-]{4,128}$/;

export class Received {
  /** Something of the answer itself came, not only its head. */
  hasContent = false;
  /** The answer came to the end that its protocol gives it: the last usage is all of it. */
  isWhole = false;
  /** The model's thoughts came in full: none are hidden. */
  showsReasoning = false;
  /** Thoughts came as a summary, or so that only their provider can read them. */
  hidesReasoning = false;
  #answerId: string | undefined;
  #rawUsage: unknown;
  #tokensAtUsage = 0;
  #countWhole: (() => readonly OutputPiece[]) | null = null;
  readonly #tokens: Record<OutputKind, number> = { text: 0, reasoning: 0, call: 0 };

  /** The id that the provider gave its answer, where it looks like one. */
  get answerId(): string | undefined {
    return this.#answerId;
  }

  noteAnswerId(id: unknown): void {
    if (typeof id === "string" && ANSWER_ID.test(id)) this.#answerId ??= id;
  }

  /** The provider's last usage object, in chat's shape; partial while the answer is not whole. */
  get rawUsage(): unknown {
    return this.#rawUsage;
  }

  /** Cumulative: it stands for all that was added before, and replaces an earlier one. */
  noteUsage(raw: unknown): void {
    if (raw === undefined) return;
    this.#rawUsage = raw;
    this.#tokensAtUsage = this.#visible();
  }

  /** The provider's figures for an answer that it broke off itself: they are all there will be, and it bills them. */
  noteFailed(raw: unknown): void {
    this.noteUsage(raw);
    this.isWhole = true;
  }

  /** Counts a piece of the answer. */
  add(kind: OutputKind, text: string): void {
    this.#tokens[kind] += textTokens(text);
  }

  /** The same for text of which only the size is known. */
  addSize(kind: OutputKind, units: number, bytes: number): void {
    this.#tokens[kind] += tokensOf({ units, bytes });
  }

  /** Text of a body that is not read yet. Providers send white space to keep a connection alive. */
  addBody(piece: string): void {
    const text = piece.trim();
    this.addSize("text", text.length, utf8Length(text));
  }

  /** The whole answer is there: it is counted from its pieces, should anybody ask, no longer by the body they came in. */
  countWhole(pieces: () => readonly OutputPiece[]): void {
    this.#countWhole = pieces;
  }

  /** Tokens of the visible output by our own count, not rounded. */
  get tokens(): number {
    const pieces = this.#countWhole?.();
    if (pieces === undefined) return this.#visible();
    return pieces.reduce((sum, { text }) => sum + textTokens(text), 0);
  }

  /** The same for what came behind the last usage. */
  get tokensBeyondUsage(): number {
    return this.#countWhole === null ? this.#visible() - this.#tokensAtUsage : 0;
  }

  #visible(): number {
    return this.#tokens.text + this.#tokens.reasoning + this.#tokens.call;
  }
}
