/** Any stream of the Responses wire, put together by OpenAI's own client. */
import * as fc from "fast-check";
import { ResponseStream } from "openai/lib/responses/ResponseStream";
import { expect, test } from "vitest";
import { eventsOf } from "../../../src/conversation/events.ts";
import { responsesWire } from "../../../src/wires/openai-responses/wire.ts";
import type { AnswerContext } from "../../../src/wires/wire.ts";
import { readProtocol } from "../../support/responses-protocol.ts";
import { answers, PROVIDER } from "../../unit/wires/openai-responses/conversations.ts";

const context: AnswerContext = {
  provider: PROVIDER,
  model: "asked-for",
  traceId: `tr_${"0".repeat(32)}`,
  createdAt: 1_800_000_000,
  conversation: null,
};

test("it has the items that the stream ends with, in their order", async () => {
  await fc.assert(
    fc.asyncProperty(answers, async (answer) => {
      const writer = responsesWire.openWriter(context);
      const text = eventsOf(answer).map((event) => writer.write([event]));
      const stream = text.join("") + writer.end();
      // The client takes one JSON object per line.
      const lines = stream.split("\n").filter((line) => line.startsWith("data: {"));
      const bytes = new TextEncoder().encode(lines.map((line) => `${line.slice(6)}\n`).join(""));
      const read = ResponseStream.fromReadableStream(new Blob([bytes]).stream() as never);
      const { output } = await read.finalResponse();
      expect(output.map(({ id }) => id)).toEqual(readProtocol(stream).items.map(({ id }) => id));
    }),
    { numRuns: 150 },
  );
});
