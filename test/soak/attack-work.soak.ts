/**
 * What the dearest body costs, as a multiple of `JSON.parse` of the same text in the same run: read, checked, held
 * against the plan and written for each wire, as a request is.
 *
 * Twice the body may cost twice the multiple at most when a clock is all there is to measure with: what is quadratic
 * costs four times as much, and then eight.
 */

import { expect, test } from "vitest";
import { readResults } from "../../src/approvals/calls.ts";
import { canonicalJson } from "../../src/approvals/match.ts";
import { chatGateView } from "../../src/doors/chat/gate-view.ts";
import { RouterError } from "../../src/http/errors.ts";
import { JsonEdit } from "../../src/lib/json.ts";
import { promptTokens } from "../../src/pricing/count.ts";
import type { Provider } from "../../src/providers/adapter.ts";
import { findProvider } from "../../src/providers/index.ts";
import { readContentDemand } from "../../src/wires/openai-chat/read-demand.ts";
import { parseChatRequest } from "../../src/wires/openai-chat/request-fields.ts";
import { HEAVY_COUNT, heavyBody } from "./attack/chat-requests.ts";
import { TARGETS } from "./attack/targets.ts";

/** The contract's aim for the dearest. It is printed; what fails is growth. */
const AIM = 30;
const LENGTH = 120_000;
const RUNS = 3;
/** A multiple that seems to grow is measured this often again: a busy machine slows one measurement, not all. */
const AGAIN = 4;
/** A body that is read in less says nothing about its multiple. */
const LEAST_PARSE_MS = 0.15;

async function workOn(text: string, provider: Provider, model: string): Promise<void> {
  try {
    const request = parseChatRequest(text);
    const { fields } = request;
    const { base64Length } = readContentDemand(fields["messages"]);
    promptTokens(request.text, base64Length);
    const gate = chatGateView(request);
    gate.unread();
    gate.withoutUnread();
    for (const { calls } of gate.hasResults ? readResults(gate.toolTurns()) : []) {
      for (const call of calls) if (call.arguments !== null) canonicalJson(call.arguments);
    }
    provider.lacks?.(request, model);
    provider.refuses?.(request, model);
    const config = { baseUrl: "https://a.example", headers: {}, settings: { region: "us-east-1" } };
    const body = new JsonEdit(request.text, request.members).remove("route");
    const common = { stream: request.stream, params: {}, maxOutputTokens: 1_000 };
    await provider.adapter.toUpstream({ ...common, asked: request, body, fields, model, config });
  } catch (error) {
    // A refusal is an answer too, and what it took counts.
    if (!(error instanceof RouterError) && !(error instanceof Error && error.name === "UntranslatableRequest"))
      throw error;
  }
}

/** The least of some runs: what else the machine does only adds. */
async function leastMs(run: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let at = 0; at < RUNS; at++) {
    const startedAt = performance.now();
    await run();
    least = Math.min(least, performance.now() - startedAt);
  }
  return least;
}

async function multipleOf(text: string, provider: Provider, model: string): Promise<number> {
  const parseMs = await leastMs(() => JSON.parse(text) as unknown);
  return (await leastMs(() => workOn(text, provider, model))) / Math.max(parseMs, LEAST_PARSE_MS);
}

interface Measured {
  readonly multiple: number;
  /** Of the multiple, when the body is twice as long. */
  readonly growth: number;
  readonly what: string;
}

/** Doubled, what is quadratic doubles its multiple, each time that it is measured. */
const isGrowing = ({ multiple, growth }: Measured): boolean => multiple * growth > AIM && growth > 1.8;

test("the dearest body of each kind at each wire", { timeout: 900_000 }, async () => {
  const found: Measured[] = [];
  for (const { provider: id, model } of TARGETS) {
    const provider = findProvider(id);
    if (provider === undefined) throw new Error(`There is no provider ${id}.`);
    for (let kind = 0; kind < HEAVY_COUNT; kind++) {
      const [once, twice] = [LENGTH, 2 * LENGTH].map((length) => heavyBody(kind, length, "flow/a", "hi"));
      const measure = async (): Promise<Measured> => {
        const multiple = await multipleOf(once!, provider, model);
        const growth = (await multipleOf(twice!, provider, model)) / Math.max(multiple, 1);
        return { multiple, growth, what: `kind ${kind} at ${id}` };
      };
      let measured = await measure();
      for (let again = 0; again < AGAIN && isGrowing(measured); again++) measured = await measure();
      found.push(measured);
    }
  }
  found.sort((a, b) => b.multiple - a.multiple);
  const lines = found
    .slice(0, 8)
    .map(({ multiple, growth, what }) => `${multiple.toFixed(1)} × JSON.parse (growth ${growth.toFixed(2)}): ${what}`);
  console.log(`attack: the dearest bodies (aim ${AIM})\n  ${lines.join("\n  ")}`);
  expect(found.filter(isGrowing)).toEqual([]);
});
