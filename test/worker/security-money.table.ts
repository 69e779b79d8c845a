/** Requests whose cost nothing bounds: content, tools and members that a provider charges beyond the bytes of the body. */

type Json = Readonly<Record<string, unknown>>;

export interface Unbounded {
  readonly provider: string;
  /** With a price in the catalogue. */
  readonly model: string;
  readonly name: string;
  /** Of the user's message beside a text. */
  readonly part?: unknown;
  /** Members of the body. */
  readonly body?: Json;
  /** What would stand upstream if it were sent. */
  readonly seen: string;
}

const GOOGLE = { provider: "google", model: "gemini-2.5-pro" } as const;
const ANTHROPIC = { provider: "anthropic", model: "claude-sonnet-4-5" } as const;
const OPENAI = { provider: "openai", model: "gpt-4o" } as const;
const ALIBABA = { provider: "alibaba", model: "qwen-max" } as const;
const MISTRAL = { provider: "mistral", model: "mistral-large-2512" } as const;
const XAI = { provider: "xai", model: "grok-4.20" } as const;
const BEDROCK = { provider: "bedrock", model: "amazon.nova-pro-v1:0" } as const;
const COHERE = { provider: "cohere", model: "command-a-03-2025" } as const;
const OPENROUTER = { provider: "openrouter", model: "openai/gpt-4o" } as const;

const picture = (url: unknown): Json => ({ type: "image_url", image_url: { url } });

export const UNBOUNDED: readonly Unbounded[] = [
  ...[
    "https://cdn.example/film.mp4",
    "https://cdn.example/film.MOV?x=1",
    "https://cdn.example/book.pdf#page=2",
    "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    "https://youtu.be/dQw4w9WgXcQ",
    "gs://bucket/film.webm",
    "https://generativelanguage.googleapis.com/v1beta/files/abc",
    "data:video/mp4;base64,AAAA",
    "data:application/pdf;base64,AAAA",
    "data:audio/ogg;base64,T2dnUw==",
  ].map((url) => ({ ...GOOGLE, name: `a picture ${url.slice(0, 48)}`, part: picture(url), seen: url.slice(-12) })),
  {
    ...GOOGLE,
    name: "an address in place of a picture",
    part: { type: "image_url", image_url: "https://cdn.example/film.mp4" },
    seen: "film.mp4",
  },
  {
    ...GOOGLE,
    name: "an untyped fileData",
    part: { fileData: { mimeType: "video/mp4", fileUri: "https://cdn.example/film" } },
    seen: "cdn.example",
  },
  {
    ...GOOGLE,
    name: "an untyped file_data",
    part: { file_data: { mime_type: "video/mp4", file_uri: "gs://b/film" } },
    seen: "gs://b",
  },
  {
    ...GOOGLE,
    name: "a video",
    part: { type: "video_url", video_url: { url: "https://cdn.example/a" } },
    seen: "cdn.example",
  },
  { ...GOOGLE, name: "a file by its id", part: { type: "file", file: { file_id: "files/abc" } }, seen: "files/abc" },
  {
    ...{ ...GOOGLE, name: "an earlier answer's pictures", seen: "film.mp4" },
    body: {
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", content: "a", images: [picture("https://cdn.example/film.mp4")] },
        { role: "user", content: "go on" },
      ],
    },
  },
  {
    ...{ ...GOOGLE, name: "a tool's result with a video", seen: "film.mp4" },
    body: {
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }] },
        { role: "tool", tool_call_id: "c", content: [picture("https://cdn.example/film.mp4")] },
      ],
    },
  },
  { ...GOOGLE, name: "urlContext", body: { tools: [{ urlContext: {} }] }, seen: "urlContext" },
  { ...GOOGLE, name: "url_context", body: { tools: [{ type: "url_context" }] }, seen: "urlContext" },
  { ...GOOGLE, name: "codeExecution", body: { tools: [{ codeExecution: {} }] }, seen: "codeExecution" },
  {
    ...GOOGLE,
    name: "file search",
    body: { tools: [{ fileSearch: { fileSearchStoreNames: ["s"] } }] },
    seen: "fileSearch",
  },
  { ...GOOGLE, name: "a cache of its own", body: { cachedContent: "cachedContents/1" }, seen: "cachedContents/1" },
  {
    ...ANTHROPIC,
    name: "web fetch",
    body: { tools: [{ type: "web_fetch_20250910", name: "web_fetch" }] },
    seen: "web_fetch",
  },
  {
    ...{ ...ANTHROPIC, name: "web search of few uses", seen: "web_search" },
    body: { tools: [{ type: "web_search_20250305", name: "web_search", max_uses: 1 }] },
  },
  {
    ...{ ...ANTHROPIC, name: "code execution", seen: "code_execution" },
    body: { tools: [{ type: "code_execution_20250825", name: "code_execution" }] },
  },
  {
    ...ANTHROPIC,
    name: "MCP servers",
    body: { mcp_servers: [{ type: "url", url: "https://m.example", name: "m" }] },
    seen: "m.example",
  },
  {
    ...{ ...ANTHROPIC, name: "a document by its address", seen: "d.example" },
    part: { type: "document", source: { type: "url", url: "https://d.example/a.pdf" } },
  },
  {
    ...ANTHROPIC,
    name: "a file by its address",
    part: { type: "file", file: { file_url: "https://d.example/a.pdf" } },
    seen: "d.example",
  },
  {
    ...ANTHROPIC,
    name: "a file in its container",
    part: { type: "container_upload", file_id: "file_011" },
    seen: "file_011",
  },
  {
    ...ALIBABA,
    name: "sound by its address",
    part: { type: "input_audio", input_audio: { data: "https://s.example/a.mp3", format: "mp3" } },
    seen: "s.example",
  },
  { ...ALIBABA, name: "a search", body: { enable_search: true }, seen: "enable_search" },
  {
    ...ALIBABA,
    name: "frames of a video",
    part: { type: "video", video: ["https://v.example/1.jpg"] },
    seen: "v.example",
  },
  {
    ...ALIBABA,
    name: "a video",
    part: { type: "video_url", video_url: { url: "https://v.example/1" } },
    seen: "v.example",
  },
  {
    ...MISTRAL,
    name: "sound as an address",
    part: { type: "input_audio", input_audio: "https://s.example/a.mp3" },
    seen: "s.example",
  },
  {
    ...MISTRAL,
    name: "a document",
    part: { type: "document_url", document_url: "https://d.example/a.pdf" },
    seen: "d.example",
  },
  {
    ...MISTRAL,
    name: "a picture that is a document",
    part: { type: "image_url", image_url: "https://d.example/a.pdf" },
    seen: "d.example",
  },
  { ...OPENAI, name: "a file by its id", part: { type: "file", file: { file_id: "file-abc" } }, seen: "file-abc" },
  {
    ...OPENAI,
    name: "a file by its address",
    part: { type: "input_file", file_url: "https://d.example/a.pdf" },
    seen: "d.example",
  },
  { ...OPENAI, name: "a search", body: { web_search_options: {} }, seen: "web_search_options" },
  { ...OPENAI, name: "a prediction", body: { prediction: { type: "content", content: "x" } }, seen: "prediction" },
  { ...OPENAI, name: "a picture as an answer", body: { modalities: ["text", "image"] }, seen: "image" },
  { ...OPENAI, name: "a plain unknown member", body: { do_more: "please" }, seen: "do_more" },
  {
    ...OPENAI,
    name: "a code interpreter",
    body: { tools: [{ type: "code_interpreter", container: { type: "auto" } }] },
    seen: "code_interpreter",
  },
  { ...OPENROUTER, name: "a preset", body: { preset: "dear" }, seen: "preset" },
  { ...OPENROUTER, name: "another host", body: { provider: { order: ["dear"] } }, seen: "order" },
  { ...OPENROUTER, name: "plugins", body: { plugins: [{ id: "web" }] }, seen: "plugins" },
  { ...OPENROUTER, name: "other models", body: { models: ["openai/o1-pro"] }, seen: "o1-pro" },
  { ...XAI, name: "a search", body: { search_parameters: { mode: "on" } }, seen: "search_parameters" },
  {
    ...BEDROCK,
    name: "a document of its storage",
    part: { document: { name: "a", format: "pdf", source: { s3Location: { uri: "s3://b/a" } } } },
    seen: "s3://b",
  },
  { ...BEDROCK, name: "a video", part: { type: "video_url", video_url: { url: "s3://b/a.mp4" } }, seen: "s3://b" },
  { ...BEDROCK, name: "a dearer way to run", body: { performanceConfig: { latency: "optimized" } }, seen: "optimized" },
  {
    ...BEDROCK,
    name: "a guardrail",
    body: { guardrailConfig: { guardrailIdentifier: "g", guardrailVersion: "1" } },
    seen: "guardrail",
  },
  { ...COHERE, name: "connectors", body: { connectors: [{ id: "web-search" }] }, seen: "connectors" },
];
