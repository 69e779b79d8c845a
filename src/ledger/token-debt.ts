/** Tokens that requests used beyond what they had reserved: they are taken from the minutes that follow. */
import { type Debt, debtLeft, NO_DEBT } from "./rates.ts";

/** One row, written only when there is new debt: it drains by the clock. */
export class TokenDebt {
  readonly #sql: SqlStorage;
  #debt: Debt = NO_DEBT;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  load(): void {
    const [row] = this.#sql.exec<{ tokens: number; at: number }>("SELECT tokens, at FROM token_debt").toArray();
    this.#debt = row ?? NO_DEBT;
  }

  get current(): Debt {
    return this.#debt;
  }

  /** `limit`: of the key's tokens per minute, which is what drains of it in a minute. */
  owe(tokens: number, limit: number, now: number): void {
    if (tokens <= 0) return;
    this.#debt = { tokens: debtLeft(this.#debt, limit, now) + tokens, at: now };
    this.#sql.exec(
      "INSERT OR REPLACE INTO token_debt (singleton, tokens, at) VALUES (1, ?, ?)",
      this.#debt.tokens,
      this.#debt.at,
    );
  }
}
