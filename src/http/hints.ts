/** What to say about an address that does not exist: clients are configured with base URLs, and go wrong in few ways. */

const CHAT = "POST /v1/chat/completions";

/** Paths below `/v1` that clients of OpenAI's API try, and what to do instead. The longest name that fits counts. */
const INSTEAD: Readonly<Record<string, string>> = {
  responses:
    "The Responses API is served at POST /v1/responses, /v1/responses/compact, /v1/responses/input_tokens and what is stored under /v1/responses/{id}. A response is made while its request waits.",
  messages: "The Messages API is served at POST /v1/messages and POST /v1/messages/count_tokens.",
  complete: "Legacy completions are not served. Use POST /v1/messages.",
  completions: `Legacy completions are not served. Use ${CHAT}. LangChain: \`ChatOpenAI\`; LlamaIndex: \`OpenAILike\` with \`is_chat_model=True\`.`,
  engines: `Legacy engines are not served. Use ${CHAT}.`,
  embeddings: "Embeddings are served at POST /v1/embeddings, for routes whose policy has `embedding`.",
  images: "Images are not routed. Call the provider of the image model directly.",
  videos: "Videos are not routed. Call the provider of the video model directly.",
  audio: `Speech and transcription are not routed. Call their provider directly, or send audio as an \`input_audio\` part to ${CHAT}.`,
  moderations: "Moderation is not routed. Call its provider directly.",
  files: `Files are not stored. Send their content as a part of a message to ${CHAT}.`,
  uploads: `Uploads are not stored. Send the content as a part of a message to ${CHAT}.`,
  batches: `Batches are not served. Send the requests one by one to ${CHAT}.`,
  fine_tuning: "Fine-tuning is not served. Call the provider directly.",
  vector_stores: "Vector stores are not served. Call the provider directly.",
  assistants: `Assistants are not served. Use ${CHAT}.`,
  threads: `Threads are not served. Use ${CHAT} and send the conversation with each request.`,
  conversations:
    "There are no objects for conversations. Go on with `previous_response_id` of POST /v1/responses, or send the whole input each time.",
  realtime: `Realtime sessions are not served. Use ${CHAT} with \`"stream": true\`.`,
  rerank: "Reranking is not routed. Call its provider directly.",
};

export const COMPACT =
  'Only a provider that has it can compact a conversation. Otherwise let the client do it: in Codex give the provider a name other than "OpenAI"; with the Agents SDK use a session without compaction.';

const AZURE =
  "Azure's clients are served at POST /openai/deployments/{model}/chat/completions, …/embeddings, POST /openai/responses and everything below /openai/v1.";

/** The first segments of what is served below `/v1`: somebody who asks for one at the top has left `/v1` out. */
const BELOW_V1: readonly string[] = ["chat", "models", "traces", "approvals", "key", ...Object.keys(INSTEAD)];

/** Segments that may be repeated, besides those above. Any other may be a secret in the wrong place. */
const SHOWN: ReadonlySet<string> = new Set([
  ...["", "v1", "V1", "openai", "deployments", "completions", "generations", "transcriptions", "speech", "jobs"],
  ...BELOW_V1,
]);
const MAX_SEGMENTS = 8;

/** The message of a 404: what was asked for, unknown segments as `…`, and what to ask for instead. */
export function notFoundMessage(method: string, pathname: string): string {
  const segments = pathname.split("/").slice(0, MAX_SEGMENTS);
  const shown = segments.map((segment) => (SHOWN.has(segment) ? segment : "…")).join("/");
  return `Not found: \`${method} ${shown}\`. ${hintFor(pathname)}`;
}

/** One or two sentences for a 404 at `pathname`. Nothing of the path is repeated. */
export function hintFor(pathname: string): string {
  if (pathname.includes("//")) return "The path has two slashes in a row. Take the slash off the end of the base URL.";
  const segments = pathname.slice(1).split("/");
  const [first = "", second = ""] = segments;
  if (first === "v1" && second === "v1") return "The path has `/v1` twice. Take one off the base URL.";
  if (first !== "v1" && first.toLowerCase() === "v1") return "Paths are case-sensitive. Use lower case.";
  if (first === "openai" && second === "v1") return hintFor(pathname.slice("/openai".length));
  if (first === "openai") return AZURE;
  if (BELOW_V1.includes(first)) return "The base URL must end in `/v1`.";
  if (first !== "v1") return `The chat endpoint is ${CHAT}.`;
  if (segments.at(-1) === "" && segments.length > 2) return "Take the slash off the end of the path.";
  return Object.hasOwn(INSTEAD, second) ? (INSTEAD[second] ?? "") : `The chat endpoint is ${CHAT}.`;
}
