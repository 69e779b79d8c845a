/** The command with a terminal that remembers, in a folder of its own. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { main } from "../../../src/cli/main.ts";

export const TOKEN = "admin-canary-0123456789abcdef0123456789";

export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Questions that were asked. */
  readonly asked: readonly string[];
}

export interface RunSpec {
  readonly variables?: Readonly<Record<string, string | undefined>>;
  readonly directory?: string;
  /** What the person answers; absent: there is no terminal. */
  readonly answer?: string;
  readonly fetch?: typeof fetch;
  /** What the standard input holds. */
  readonly piped?: string;
}

export async function run(argv: readonly string[], spec: RunSpec = {}): Promise<Run> {
  let [out, err] = ["", ""];
  const asked: string[] = [];
  const code = await main(argv, {
    variables: { FLOW_ADMIN_TOKEN: TOKEN, FLOW_LAYER_URL: "http://localhost:9", ...spec.variables },
    directory: spec.directory ?? tmpdir(),
    isInteractive: spec.answer !== undefined,
    write: (text) => {
      out += text;
    },
    writeError: (text) => {
      err += text;
    },
    ask: async (question) => {
      asked.push(question);
      return spec.answer ?? "";
    },
    fetch: spec.fetch ?? fetch,
    ...(spec.piped === undefined ? {} : { readInput: async () => spec.piped ?? "" }),
  });
  return { code, out, err, asked };
}

/** A folder with these files, and its removal. */
export async function folderOf(files: Readonly<Record<string, unknown>>) {
  const directory = await mkdtemp(join(tmpdir(), "flow-cli-"));
  const write = async (path: string, content: unknown): Promise<void> => {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), typeof content === "string" ? content : JSON.stringify(content));
  };
  for (const [path, content] of Object.entries(files)) await write(path, content);
  return { directory, write, remove: () => rm(directory, { recursive: true, force: true }) };
}

export interface FakeCall {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** A host that answers from a table of `<method> <path>`, and keeps what it was asked. */
export function fakeHost(answers: Readonly<Record<string, { readonly status?: number; readonly body?: unknown }>>) {
  const calls: FakeCall[] = [];
  const host: typeof fetch = async (input, init = {}) => {
    const url = String(input);
    const method = init.method ?? "GET";
    const body = typeof init.body === "string" ? (JSON.parse(init.body) as unknown) : undefined;
    calls.push({ method, url, headers: init.headers as Record<string, string>, body });
    const { pathname } = new URL(url);
    const answer = answers[`${method} ${pathname}`] ?? { status: 404, body: refusal("not_found", `no ${pathname}`) };
    const text = answer.body === undefined ? null : JSON.stringify(answer.body);
    return new Response(text, { status: answer.status ?? 200 });
  };
  return { fetch: host, calls, changes: () => calls.filter(({ method }) => method !== "GET") };
}

export const refusal = (code: string, message: string, details: object = {}) => ({
  error: { code, message, type: "some_error", param: null, ...details },
});
export const listOf = (...data: readonly unknown[]) => ({ object: "list", data, has_more: false, next_cursor: null });
