/** The control plane's list of calls that wait, on a real SQLite. */
import { beforeEach, expect, test } from "vitest";
import type { ApprovalNote } from "../../../src/approvals/types.ts";
import { type ApprovalQuery, findApprovals, noteApprovals } from "../../../src/control/approvals.ts";
import { migrate } from "../../../src/control/control-schema.sql.ts";
import { startSql } from "../control/fakes.ts";

const T0 = 1_800_000_000_000;
const DAY_MS = 86_400_000;
let sql: SqlStorage;
beforeEach(() => {
  sql = startSql();
  migrate(sql);
});

const note = (toolCallId: string, more: Partial<ApprovalNote> = {}): ApprovalNote => ({
  ...{ toolCallId, keyId: "one", env: "production", app: "console", status: "pending", sha256: "ab" },
  ...{ createdAt: T0, expiresAt: T0 + DAY_MS, decidedBy: null, decidedAt: null, reason: null, ...more },
});
const approved = (id: string): ApprovalNote =>
  note(id, { status: "approved", decidedBy: "operator:admin", decidedAt: T0 + 5, reason: "fine" });
const found = (query: Partial<ApprovalQuery>, now = T0): string[] =>
  findApprovals(sql, { limit: 10, before: null, ...query }, now).map((row) => `${row.key_id}/${row.tool_call_id}`);
const audit = () =>
  sql
    .exec<{ actor: string; action: string }>("SELECT at_ms, actor, action, object, after_digest, reason FROM audit")
    .toArray();

test("calls are found by status, environment, app, key and id, newest first", () => {
  noteApprovals(
    sql,
    [note("a"), note("b", { app: "other" }), note("a", { keyId: "two", env: "staging" }), approved("c")],
    T0,
  );
  expect(found({})).toEqual(["one/c", "two/a", "one/b", "one/a"]);
  expect(found({ status: "pending" })).toEqual(["two/a", "one/b", "one/a"]);
  expect(found({ status: "approved" })).toEqual(["one/c"]);
  expect(found({ env: "production", apps: null, status: "pending" })).toEqual(["one/b", "one/a"]);
  expect(found({ env: "production", apps: ["other", "x"] })).toEqual(["one/b"]);
  expect(found({ toolCallId: "a" })).toEqual(["two/a", "one/a"]);
  expect(found({ toolCallId: "a", keyId: "one" })).toEqual(["one/a"]);
  expect(found({ limit: 1 })).toHaveLength(2);
  expect(found({ before: 2 })).toEqual(["one/a"]);
  expect(found({ status: "expired" }, T0 + DAY_MS)).toEqual(["two/a", "one/b", "one/a"]);
  expect(found({ status: "pending" }, T0 + DAY_MS)).toEqual([]);
});

test("a decision is final and has one audit line, in whatever order and however often it is told", () => {
  for (const order of [
    [note("a"), approved("a"), approved("a")],
    [approved("b"), note("b"), approved("b")],
  ]) {
    for (const each of order) noteApprovals(sql, [each], T0 + 9);
  }
  expect(found({ status: "approved" })).toEqual(["one/b", "one/a"]);
  const line = {
    at_ms: T0 + 5,
    actor: "admin",
    action: "approval.approve",
    after_digest: "sha256:ab",
    reason: "fine",
  };
  expect(audit()).toEqual(["a", "b"].map((id) => ({ ...line, object: `tool call ${id} of key one` })));
});

test("calls that nobody decided are forgotten 30 days after their time", () => {
  noteApprovals(sql, [note("a")], T0);
  noteApprovals(sql, [note("b", { expiresAt: T0 + 90 * DAY_MS })], T0 + 31 * DAY_MS - 1);
  expect(found({})).toHaveLength(2);
  noteApprovals(sql, [], T0 + 31 * DAY_MS);
  expect(found({})).toEqual(["one/b"]);
});
