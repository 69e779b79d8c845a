/** Recorded answers of providers' embedding endpoints, where they lie beside the checkout, as every client has to get them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRig, type ErrorBody, startChatRig } from "../support/chat.ts";
import { type EmbeddingsBody, embed, embeddingRoute, valuesOf } from "../support/embeddings.ts";

const FOLDER = new URL("../../../shared/doors", import.meta.url).pathname;

interface Recording {
  readonly file: string;
  readonly wire: string;
  readonly provider: string;
  readonly kind: "json" | "error";
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly request_file: string;
  readonly expect: {
    readonly model: string;
    readonly input: string | readonly unknown[];
    readonly count?: number;
    readonly dimensions?: number;
    readonly dimensions_asked?: number;
    readonly input_type?: string;
    readonly prompt_tokens?: number;
    readonly vectors?: readonly { length: number; first: number[]; last: number[]; sum: number }[];
    readonly error?: { readonly message: string };
  };
}

const isThere = existsSync(join(FOLDER, "index.json"));
const recordings = (isThere ? readIndex() : []).filter(({ wire }) => wire === "embeddings");

function readIndex(): readonly Recording[] {
  const index = JSON.parse(readFileSync(join(FOLDER, "index.json"), "utf8")) as unknown;
  return (Array.isArray(index) ? index : Object.values(index as object).find(Array.isArray)) as readonly Recording[];
}

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({ OWN_KEY: "x" });
  const body = { protocol: "openai", base_url: `${rig.upstream.url}/v1` };
  expect((await rig.worker.admin("/admin/providers/custom", { method: "PUT", body })).status).toBeLessThan(300);
});
afterAll(() => rig.stop());

/** The member under which providers name what a request's own file has as its length. */
const LENGTHS = ["dimensions", "output_dimension", "outputDimensionality"];

test.skipIf(isThere)("the recordings are not here: they lie beside the project, and are no part of it", ({ skip }) =>
  skip(),
);

describe.runIf(isThere).each(recordings)("$file", (recording) => {
  const { expect: wanted, provider, kind, status } = recording;
  const bytes = readFileSync(join(FOLDER, recording.file), "utf8");
  const route = () =>
    embeddingRoute(rig, {
      targets: [{ provider, model: wanted.model, same_space: true }],
      embedding: { space: wanted.model, ...(wanted.dimensions === undefined ? {} : { dimensions: wanted.dimensions }) },
      policy: { retry: { same_target: 0 } },
    });
  const body = (format: string) => ({
    input: wanted.input,
    encoding_format: format,
    ...(wanted.dimensions_asked === undefined || kind === "error" ? {} : { dimensions: wanted.dimensions_asked }),
    ...(wanted.input_type === undefined ? {} : { input_type: wanted.input_type }),
  });

  test.runIf(kind === "json").each(["float", "base64"])("reaches the client as %s", async (format) => {
    rig.upstream.reset();
    rig.upstream.script({ body: bytes, headers: { "content-type": "application/json", ...recording.headers } });
    const own = await route();
    const response = await embed(rig, own, body(format));
    const text = await response.text();
    expect(response.status, text.slice(0, 500)).toBe(200);
    const answer = JSON.parse(text) as EmbeddingsBody;
    expect(answer.object).toBe("list");
    expect(answer.data.map(({ index }) => index)).toEqual(Array.from({ length: wanted.count ?? 1 }, (_, at) => at));
    for (const [at, vector] of (wanted.vectors ?? []).entries()) {
      const { embedding } = answer.data[at]!;
      expect(typeof embedding).toBe(format === "base64" ? "string" : "object");
      const values = valuesOf(embedding);
      expect(values.length).toBe(vector.length);
      const ends = [...values.slice(0, vector.first.length), ...values.slice(-vector.last.length)];
      const wantedEnds = [...vector.first, ...vector.last];
      expect(ends.filter((value, place) => Math.abs(value - wantedEnds[place]!) > 1e-6)).toEqual([]);
      const sum = values.reduce((all, each) => all + each, 0);
      expect(Math.abs(sum - vector.sum)).toBeLessThan(1e-3);
    }
    if (wanted.prompt_tokens !== undefined) expect(answer.usage.prompt_tokens).toBe(wanted.prompt_tokens);
    expect(answer.flow["provider"]).toBe(provider);
    const sent = JSON.parse(rig.upstream.calls[0]!.body) as Record<string, unknown>;
    const asked = LENGTHS.map((name) => sent[name]).find((value) => value !== undefined);
    if (wanted.dimensions_asked !== undefined) expect(asked).toBe(wanted.dimensions_asked);
  });

  test.runIf(kind === "error")("is told in the provider's words", async () => {
    rig.upstream.reset();
    rig.upstream.script({ status, body: bytes, headers: { "content-type": "application/json" } });
    const response = await embed(rig, await route(), body("float"));
    const { error } = (await response.json()) as ErrorBody;
    expect(response.status).toBe(status === 404 ? 502 : 400);
    if (status !== 404) expect(error.message).toContain(wanted.error?.message);
  });
});
