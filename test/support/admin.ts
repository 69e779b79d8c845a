/** What tests of the admin endpoints look at: refusals in full, lists, the newest lines of the audit log. */
import { expect } from "vitest";
import type { TestWorker } from "./worker.ts";

/** Parsed JSON whose members a test names one by one. */
export type Json = Record<string, unknown>;

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly param?: string | null;
}

export const read = async (response: Response): Promise<Json> => (await response.json()) as Json;

/** The body of an answer of 200. */
export async function okBody(response: Response): Promise<Json> {
  const text = await response.text();
  expect([response.status, text]).toEqual([200, text]);
  return JSON.parse(text) as Json;
}

/** Checks a refusal and gives its `error` for more. */
export async function expectRefusal(response: Response, { status, code, param }: Refusal): Promise<Json> {
  const { error } = (await response.json()) as { error: Json };
  expect({ status: response.status, code: error["code"] }).toEqual({ status, code });
  if (param !== undefined) expect(error["param"]).toBe(param);
  expect(response.headers.get("cache-control")).toBe("no-store");
  return error;
}

/** Lines of the audit log about `object`, newest first. */
export async function auditOf(worker: TestWorker, object: string): Promise<Json[]> {
  const { data } = (await (await worker.admin("/admin/audit?limit=1000")).json()) as { data: Json[] };
  return data.filter((entry) => entry["object"] === object);
}

/** Runs `call` and checks that it left no line in the audit log. */
export async function withoutAudit(worker: TestWorker, call: () => Promise<unknown>): Promise<void> {
  const newest = async (): Promise<string> => (await worker.admin("/admin/audit?limit=1")).text();
  const before = await newest();
  await call();
  expect(await newest()).toBe(before);
}
