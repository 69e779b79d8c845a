/** What a reader sees where there is nothing to show, or something failed. */
import type { Child } from "hono/jsx/dom";
import type { ApiError } from "../api.ts";
import type { Loaded } from "../load.ts";
import { clock } from "./figures.ts";

export function Failure({ error, retry }: { error: ApiError; retry?: () => void }) {
  const remedy =
    error.code === "admin_disabled"
      ? "Set FLOW_ADMIN_TOKEN (32 characters or more) and deploy."
      : error.code === "role_required"
        ? `Ask an operator with the role ${String(error.detail["role"] ?? "admin")}.`
        : "";
  return (
    <div class="failure" role="alert">
      <p>
        <strong>{error.code === "" ? "Failed" : error.code}</strong> {error.message} {remedy}
      </p>
      {error.param === null ? null : (
        <p>
          At <code>{error.param}</code>
        </p>
      )}
      {retry === undefined ? null : (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ children }: { children: Child }) {
  return <p class="empty">{children}</p>;
}

/** The state of what was read: loading at first, an error next to what is still shown, and how old it is. */
export function State({ of, asOf }: { of: Loaded<unknown>; asOf?: string | null | undefined }) {
  if (of.error !== null) return <Failure error={of.error} retry={of.reload} />;
  if (of.data === null) return <p class="loading">Loading…</p>;
  const time = asOf ?? (of.at === null ? null : new Date(of.at).toISOString());
  return (
    <p class="as-of" aria-live="off">
      {time === null ? "" : `As of ${clock(time)}`}
      {of.isLoading ? ", reading…" : ""}
    </p>
  );
}
