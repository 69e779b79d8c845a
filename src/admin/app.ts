/**
 * The control plane over HTTP, mounted under `/admin`.
 *
 * Everything is authorized first, unknown paths and wrong methods too, so that a stranger learns nothing about what
 * exists. Handlers throw `RouterError`; the main app renders it.
 */
import { Hono } from "hono/tiny";
import { RouterError } from "../http/errors.ts";
import { type AdminEnv, authorize } from "./access/authorize.ts";
import { approvalsApp } from "./approvals.ts";
import { auditApp } from "./audit.ts";
import { demoApp } from "./demo.ts";
import { keysApp } from "./keys.ts";
import { metricsApp } from "./metrics.ts";
import { budgetsApp } from "./money/budgets.ts";
import { pricesApp } from "./money/prices.ts";
import { repriceApp } from "./money/reprice.ts";
import { spendApp } from "./money/spend.ts";
import { statsApp } from "./money/stats.ts";
import { promotionsApp } from "./promotions.ts";
import { providersApp } from "./providers.ts";
import { routesApp } from "./routes.ts";
import { settingsApp } from "./settings.ts";
import { statusApp } from "./status.ts";
import { tracesApp } from "./traces.ts";
import { getExport, postImport } from "./transfer.ts";
import { webhooksApp } from "./webhooks.ts";

/** Paths and the methods they know, for the answer to a wrong one. */
const METHODS = {
  "/keys": "GET, HEAD, POST",
  "/keys/:id": "GET, HEAD, PATCH, DELETE",
  "/keys/:id/rotate": "POST",
  "/keys/:id/data": "DELETE",
  "/keys/:id/ledger": "GET, HEAD",
  "/routes": "GET, HEAD",
  // Behind one name or two: an environment may have a route called `promote`.
  "/routes/:env/promote": "GET, HEAD, PUT, DELETE, POST",
  "/routes/:env/:name": "GET, HEAD, PUT, DELETE",
  "/routes/:env/:name/rollback": "POST",
  "/routes/:env/:name/explain": "POST",
  "/routes/:env/:name/evidence": "GET, HEAD",
  "/routes/:env/:name/versions": "GET, HEAD",
  "/routes/:env/:name/versions/:version": "GET, HEAD",
  "/providers": "GET, HEAD",
  "/providers/:id": "PUT, PATCH, DELETE",
  "/providers/:id/*": "PATCH",
  "/prices": "GET, HEAD",
  "/prices/:provider/*": "GET, HEAD, PUT, DELETE",
  "/settings": "GET, HEAD, PUT",
  "/traces": "GET, HEAD",
  "/traces/rebuild": "POST",
  "/traces/:id": "GET, HEAD",
  "/spend": "GET, HEAD",
  "/budgets": "GET, HEAD",
  "/budgets/:id": "GET, HEAD, PUT, DELETE",
  "/stats": "GET, HEAD",
  "/spend/reprice": "POST",
  "/spend/reprice/:id": "GET, HEAD",
  "/approvals": "GET, HEAD",
  "/approvals/:id": "POST",
  "/audit": "GET, HEAD",
  "/status": "GET, HEAD",
  "/export": "GET, HEAD",
  "/import": "POST",
  "/metrics": "GET, HEAD",
  "/webhooks": "GET, HEAD",
  "/webhooks/:id": "GET, HEAD, PUT, DELETE",
  "/webhooks/:id/rotate": "POST",
  "/webhooks/:id/test": "POST",
  "/webhooks/:id/deliveries": "GET, HEAD",
} as const;

export const adminApp = new Hono<AdminEnv>();

adminApp.use("*", async (c, next) => {
  const work = next();
  // An operator who hangs up must not stop a revocation half-way: the runtime ends a request when its client is gone.
  c.executionCtx.waitUntil(work.catch(() => {}));
  await work;
  c.header("cache-control", "no-store");
});
adminApp.use("*", authorize);

adminApp.route("/keys", keysApp);
adminApp.route("/routes", routesApp);
adminApp.route("/routes", promotionsApp);
adminApp.route("/providers", providersApp);
adminApp.route("/prices", pricesApp);
adminApp.route("/settings", settingsApp);
adminApp.route("/traces", tracesApp);
adminApp.route("/spend/reprice", repriceApp);
adminApp.route("/spend", spendApp);
adminApp.route("/budgets", budgetsApp);
adminApp.route("/stats", statsApp);
adminApp.route("/approvals", approvalsApp);
adminApp.route("/audit", auditApp);
adminApp.route("/demo", demoApp);
adminApp.route("/status", statusApp);
adminApp.get("/export", getExport);
adminApp.post("/import", postImport);
adminApp.route("/metrics", metricsApp);
adminApp.route("/webhooks", webhooksApp);

for (const [path, methods] of Object.entries(METHODS)) {
  adminApp.all(path, (c) => {
    const message = `Method ${c.req.method} is not allowed here. Use one of: ${methods}.`;
    throw new RouterError("method_not_allowed", message, { headers: { allow: methods } });
  });
}

adminApp.all("*", () => {
  throw new RouterError("not_found", "No such admin endpoint. GET /openapi.json lists them.");
});
