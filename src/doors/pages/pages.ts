/**
 * The addresses of the site that the Worker answers itself: `/`, which is a page for browsers and an index for programs,
 * the console, which may be fenced, and whatever is not there. Every other page is a static file that never wakes the
 * Worker.
 */
import type { Context } from "hono";
import { isAdminHost } from "../../admin/access/operator.ts";
import { type AppEnv, settingsOf } from "../../config.ts";
import { VERSION } from "../../lib/version.ts";
import { SECURITY_HEADERS } from "../../site/security-headers.ts";

/** Addresses that belong to programs: never a page, whatever `Accept` says. */
const PROGRAM_PATHS = /^\/(?:v1|admin|openai)(?:\/|$)/;

const CONSOLE_FILE = /^\/console\/[a-z]+-[0-9A-Za-z]+\.(?:js|css)$/;

const ENDPOINTS = [
  ...["POST /v1/chat/completions", "GET /v1/models", "GET /v1/traces", "GET /v1/approvals", "GET /health"],
] as const;

/** `GET /`: the home page where `Accept` names `text/html`, else where things are. */
export async function getRoot(c: Context<AppEnv>): Promise<Response> {
  return (
    (await htmlPage(c, "/", 200)) ??
    c.json({
      name: "The Flow Layer",
      version: VERSION,
      docs: new URL("/docs", c.req.url).href,
      openapi: new URL("/openapi.json", c.req.url).href,
      endpoints: ENDPOINTS,
      ...(settingsOf(c.env).hasSandbox ? { run: "/docs/run" } : {}),
    })
  );
}

/** The page for an address that does not exist; `null` where a program asks, or there are no pages. */
export function notFoundPage(c: Context<AppEnv>): Promise<Response | null> {
  return PROGRAM_PATHS.test(c.req.path) ? Promise.resolve(null) : htmlPage(c, "/404", 404);
}

/**
 * `/console` and what lies below it: its files as they are, and for every other address the one page whose script reads
 * the address. Only on `FLOW_ADMIN_HOST`, where one is named.
 */
export async function getConsole(c: Context<AppEnv>): Promise<Response> {
  const { ASSETS } = c.env;
  const url = new URL(c.req.url);
  if (ASSETS === undefined || !isAdminHost(settingsOf(c.env).adminHost, url)) return c.notFound();
  const isFile = CONSOLE_FILE.test(url.pathname);
  const page = await ASSETS.fetch(new URL(isFile ? url.pathname : "/console", url));
  if (!page.ok) return c.notFound();
  const headers = new Headers(SECURITY_HEADERS);
  headers.set("content-type", page.headers.get("content-type") ?? "text/html; charset=utf-8");
  // The name of a file holds its content's hash; the page names the files.
  headers.set("cache-control", isFile ? "public, max-age=31536000, immutable" : "no-store");
  return new Response(page.body, { headers });
}

async function htmlPage(c: Context<AppEnv>, path: string, status: number): Promise<Response | null> {
  const { ASSETS } = c.env;
  const isRead = c.req.method === "GET" || c.req.method === "HEAD";
  if (ASSETS === undefined || !isRead || !(c.req.header("accept") ?? "").includes("text/html")) return null;
  const page = await ASSETS.fetch(new URL(path, c.req.url));
  if (!page.ok) return null;
  const headers = new Headers(SECURITY_HEADERS);
  headers.set("content-type", "text/html; charset=utf-8");
  headers.set("vary", "accept");
  return new Response(page.body, { status, headers });
}
