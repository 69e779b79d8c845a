/** What has come of one attempt's answer so far. Facts only: what they cost is `billing.ts`'s to say. */
import { utf8Length } from "../lib/text/utf8-length.ts";
import { textTokens, tokensOf } from "../pricing/count.ts";

/** Visible output, by what it is. */
export type OutputKind = "text" | "reasoning" | "call";

export interface OutputPiece {
  readonly kind: OutputKind;
  readonly text: string;
}

const ANSWER_ID = /^[\w.:-]{4,128}$/;

/** What the calls of one attempt have used, where it is made of several. */
interface Calls {
  answered: number;
  /** Prompt tokens by our own count: of calls that were answered, and of those that run. */
  countedTokens: number;
  runningTokens: number;
  /** Numbers of the answers' usage added up; `null`: an answer had none. */
  usage: Record<string, number> | null;
}

export class Received {
  /** Something of the answer itself came, not only its head. */
  hasContent = false;
  /** The answer came to the end that its protocol gives it: the last usage is all of it. */
  isWhole = false;
  /** The last usage may say less than what came: it came before the end. */
  isUsageBehind = false;
  /** The model's thoughts came in full: none are hidden. */
  showsReasoning = false;
  /** Thoughts came as a summary, or so that only their provider can read them. */
  hidesReasoning = false;
  #answerId: string | undefined;
  #rawUsage: unknown;
  #calls: Calls | null = null;
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
    const calls = this.#calls;
    if (this.#rawUsage === undefined && calls !== null)
      return calls.answered > 0 ? (calls.usage ?? undefined) : undefined;
    return this.#rawUsage;
  }

  /** One call of several begins. */
  beginCall(tokens: number): void {
    this.#calls ??= { answered: 0, countedTokens: 0, runningTokens: 0, usage: {} };
    this.#calls.runningTokens += tokens;
  }

  /** The provider refused it, or it broke: only calls that are answered are paid. One that was ended by us stays begun. */
  failCall(tokens: number): void {
    if (this.#calls !== null) this.#calls.runningTokens -= tokens;
  }

  /** `usage`: the provider's figures for it, in chat's words. */
  answerCall(tokens: number, usage: Readonly<Record<string, unknown>> | undefined): void {
    const calls = this.#calls;
    if (calls === null) return;
    calls.runningTokens -= tokens;
    calls.countedTokens += tokens;
    calls.answered++;
    if (usage === undefined) calls.usage = null;
    const sums = calls.usage;
    if (sums === null || usage === undefined) return;
    for (const [name, value] of Object.entries(usage)) {
      if (typeof value === "number") sums[name] = (sums[name] ?? 0) + value;
    }
  }

  /** At least one of several calls was answered in full: it is billed, whatever became of the others. */
  get hasAnsweredCall(): boolean {
    return (this.#calls?.answered ?? 0) > 0;
  }

  /** Prompt tokens of calls that the provider may bill, by our own count; `null`: the whole request is one call. */
  get callTokens(): number | null {
    return this.#calls === null ? null : this.#calls.countedTokens + this.#calls.runningTokens;
  }

  /** The same for calls that run still, or were ended by us: they are in no usage. */
  get runningTokens(): number {
    return this.#calls?.runningTokens ?? 0;
  }

  /** Cumulative: it stands for all that was added before, and replaces an earlier one. */
  noteUsage(raw: unknown): void {
    if (raw === undefined) return;
    this.#rawUsage = raw;
    this.#tokensAtUsage = this.#visible();
  }

  /** What a wire counted while it read, asked for where reading ended early: it may be behind what came. */
  noteRunningUsage(raw: unknown): void {
    if (raw === undefined) return;
    this.#rawUsage = raw;
    this.isUsageBehind = true;
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
