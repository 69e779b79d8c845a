/** What the soak runs of money share: the Worker before a provider with books, and what an operator sees of a key. */
import { expect } from "vitest";
import { fromUsd } from "../../src/lib/money.ts";
import { pricedModel } from "../support/models.ts";
import { startWorker, type TestWorker, type WorkerSpec } from "../support/worker.ts";
import type { Order } from "./biller.ts";
import { pause } from "./run.ts";

/** Reads a path under `/admin`. */
export type Read = (path: string) => Promise<unknown>;

/** What both a Worker and several points of presence can do. */
export interface Office {
  readonly read: Read;
  readonly write: (path: string, method: string, body: unknown) => Promise<unknown>;
}

export interface Account {
  readonly id: string;
  readonly key: string;
}

/** In nano-USD, after `GET /admin/keys/{id}` and its `ledger`. */
export interface Books {
  readonly limit: number;
  readonly spent: number;
  readonly reserved: number;
  readonly requests: number;
  readonly unadmitted: number;
  readonly expired: number;
  readonly expiredCount: number;
  readonly openReservations: number;
  readonly unshipped: number;
  readonly overBound: number;
  readonly isConsistent: boolean;
}

export const environmentOf = (baseUrl: string): Record<string, string> => ({
  OPENAI_API_KEY: "sk-soak",
  OPENAI_BASE_URL: baseUrl,
});

export const startMoneyWorker = (baseUrl: string, spec: WorkerSpec = {}): Promise<TestWorker> =>
  startWorker({ ...spec, vars: { ...environmentOf(baseUrl), ...spec.vars } });

export function officeOf(worker: TestWorker): Office {
  const call = async (path: string, init: object = {}): Promise<unknown> => {
    const response = await worker.admin(path, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
  return { read: (path) => call(path), write: (path, method, body) => call(path, { method, body }) };
}

/** A route with `count` targets of a known price; answers what a request calls it. */
export async function priceRoute(office: Office, name: string, policy: object = {}, count = 1): Promise<string> {
  const targets = Array.from({ length: count }, () => ({ provider: "openai", model: pricedModel() }));
  await office.write(`/admin/routes/production/${name}`, "PUT", { targets, ...policy });
  return `flow/${name}`;
}

let accountCount = 0;

export async function openAccount(office: Office, limitNanoUsd: number | null, more: object = {}): Promise<Account> {
  const budget = limitNanoUsd === null ? undefined : { limit_usd: limitNanoUsd / 1e9, period: "total" };
  const body = { name: `soak ${++accountCount}`, env: "production", budget, ...more };
  return (await office.write("/admin/keys", "POST", body)) as Account;
}

interface SpendBody {
  readonly spend: { readonly limit_usd: number | null; readonly spent_usd: number; readonly reserved_usd: number };
}

/** Only what is spent and held: cheap, and one moment of the ledger. */
export async function spendOf({ read }: Office, { id }: Account): Promise<Pick<Books, "limit" | "spent" | "reserved">> {
  const { spend } = (await read(`/admin/keys/${id}`)) as SpendBody;
  const limit = spend.limit_usd === null ? Number.POSITIVE_INFINITY : fromUsd(spend.limit_usd);
  return { limit, spent: fromUsd(spend.spent_usd), reserved: fromUsd(spend.reserved_usd) };
}

export async function booksOf(office: Office, account: Account): Promise<Books> {
  const audit = (await office.read(`/admin/keys/${account.id}/ledger`)) as Readonly<Record<string, number>> & {
    readonly periods: { readonly total: { readonly requests: number } };
  };
  const usd = (name: string): number => fromUsd(audit[name] ?? Number.NaN);
  return {
    ...(await spendOf(office, account)),
    requests: audit.periods.total.requests,
    ...{ unadmitted: usd("unadmitted_usd"), expired: usd("expired_usd") },
    expiredCount: audit["expired"] ?? Number.NaN,
    openReservations: audit["open_reservations"] ?? Number.NaN,
    unshipped: audit["unshipped_traces"] ?? Number.NaN,
    overBound: audit["over_bound"] ?? Number.NaN,
    isConsistent: (audit["consistent"] as unknown) === true,
  };
}

/** Waits until nothing is held and all traces are in the index. */
export async function closedBooks(office: Office, account: Account, withinMs = 30_000): Promise<Books> {
  for (const giveUpAt = Date.now() + withinMs; ; await pause(250)) {
    const books = await booksOf(office, account);
    if ((books.openReservations === 0 && books.reserved === 0 && books.unshipped === 0) || Date.now() > giveUpAt) {
      expect(books).toMatchObject({ reserved: 0, openReservations: 0, unshipped: 0, isConsistent: true, overBound: 0 });
      return books;
    }
  }
}

export interface Trail {
  /** By key id. */
  readonly byKey: ReadonlyMap<string, { readonly nanoUsd: number; readonly requests: number }>;
  readonly total: number;
  readonly unadmitted: number;
}

export async function trailOf({ read }: Office): Promise<Trail> {
  const spend = (await read("/admin/spend?group_by=key")) as {
    readonly data: readonly {
      readonly group: { readonly key: string };
      readonly requests: number;
      readonly cost_usd: number | null;
    }[];
    readonly total_usd: number;
    readonly unadmitted_usd: number;
  };
  const rows = spend.data.map(
    ({ group, requests, cost_usd }) => [group.key, { nanoUsd: fromUsd(cost_usd ?? 0), requests }] as const,
  );
  return { byKey: new Map(rows), total: fromUsd(spend.total_usd), unadmitted: fromUsd(spend.unadmitted_usd) };
}

/** All keys of a deployment: `/admin/spend` and the ledgers say the same, to the nano-USD. */
export async function expectSameSums(office: Office, accounts: readonly Account[]): Promise<void> {
  const all = await Promise.all(accounts.map((account) => closedBooks(office, account)));
  const trail = await trailOf(office);
  for (const [index, { id }] of accounts.entries()) {
    const { spent, requests } = all[index]!;
    expect({ id, ...(trail.byKey.get(id) ?? { nanoUsd: 0, requests: 0 }) }).toEqual({
      id,
      nanoUsd: spent,
      requests,
    });
  }
  const sum = (of: (books: Books) => number): number => all.reduce((total, books) => total + of(books), 0);
  expect(trail.total).toBe(sum(({ spent }) => spent));
  expect(trail.unadmitted).toBe(sum(({ unadmitted }) => unadmitted));
}

/** Looks at a key again and again: what is spent and held, at most, and how often it was above the limit. */
export function watchLimit(
  office: Office,
  account: Account,
): { stop(): Promise<{ most: number; looks: number; over: number }> } {
  let [most, looks, over, isOver] = [0, 0, 0, false];
  const watching = (async () => {
    for (; !isOver; await pause(20)) {
      const { limit, spent, reserved } = await spendOf(office, account);
      most = Math.max(most, spent + reserved);
      if (spent + reserved > limit) over++;
      looks++;
    }
  })();
  return {
    async stop() {
      isOver = true;
      await watching;
      return { most, looks, over };
    },
  };
}

/** Ids have six digits, so that all bodies are equally long. */
export function order(id: number, more: Partial<Order> = {}): Order {
  const plain = { headMs: 0, promptTokens: 100, tokens: 10, paceMs: 0, sendsUsage: true, failures: 0 };
  return { ...plain, ...more, id: 100_000 + id };
}

export const usd = (nanoUsd: number): string => `$${(nanoUsd / 1e9).toFixed(9)}`;
