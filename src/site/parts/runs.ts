/**
 * What each example of the documentation sends, so that its page can run it against the sandbox; or why a page cannot.
 * A test compares the names with those in the text.
 */

export interface Run {
  readonly api: "chat" | "messages" | "responses";
  readonly request: Readonly<Record<string, unknown>>;
  /** What the page's run does differently. */
  readonly note?: string;
}

const say = (content: string) => [{ role: "user", content }];
const HELLO = say("Hello.");
const INCIDENT = { model: "flow/best-reasoning", messages: say("Turn this incident into a remediation plan.") };
const BUDGET = { latency_budget_ms: 1800 };
const CHAT: Run = { api: "chat", request: { model: "flow/best-reasoning", messages: HELLO, route: BUDGET } };
const SEARCH = { type: "function", function: { name: "search_docs", parameters: { type: "object" } } };

/** The example of the home page and of the first section. */
export const FIRST_RUN: Run = {
  api: "chat",
  request: {
    model: "flow/best-reasoning",
    messages: say("Compare these model routes for a code review agent."),
    route: { fallback: true, latency_budget_ms: 1800 },
  },
};

export const RUNS: Readonly<Record<string, Run>> = {
  "fetch.mjs": { api: "chat", request: { ...INCIDENT, route: BUDGET } },
  "fetch-stream.mjs": { api: "chat", request: { ...INCIDENT, stream: true } },
  "requests_job.py": {
    api: "chat",
    request: {
      model: "flow/fast-eval",
      messages: say("Score this support answer for policy fit."),
      route: { latency_budget_ms: 2400 },
    },
  },
  "openai.mjs": CHAT,
  "openai_sdk.py": CHAT,
  "ai-sdk.mjs": CHAT,
  "langchain.mjs": CHAT,
  "langchain_sdk.py": CHAT,
  "agents_sdk.py": {
    api: "chat",
    request: {
      model: "flow/agent-reasoning",
      messages: [{ role: "system", content: "Answer in one sentence." }, ...HELLO],
    },
  },
  "anthropic_sdk.py": {
    api: "messages",
    request: { model: "flow/best-reasoning", max_tokens: 1024, messages: HELLO },
  },
  "openai-responses.mjs": {
    api: "responses",
    request: { model: "flow/best-reasoning", input: "Name a river." },
    note: "The first of its two requests: nothing is kept for a page to go on from.",
  },
  "agent-loop.mjs": {
    api: "chat",
    request: {
      model: "flow/agent-reasoning",
      messages: say("Find the report."),
      tools: [SEARCH],
      route: { fallback: true, require_tool_approval: true },
    },
  },
};

/** Said in place of a button. */
export const NOT_RUN: Readonly<Record<string, string>> = {
  "embeddings.mjs": "A page runs chat, Messages and Responses. Copy this one: the key that npm start prints may embed.",
  "claude-code.sh": "Settings of a program on your machine, so there is no request to run from a page.",
  "codex.toml": "Settings of a program on your machine, so there is no request to run from a page.",
  "approval-ai-sdk.mjs": "Its tool call waits for a person, so run it next to a terminal or the console's Approvals.",
  "approval-langchain.mjs":
    "Its tool call waits for a person, so run it next to a terminal or the console's Approvals.",
};
