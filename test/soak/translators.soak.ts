/**
 * `npm run test:soak`: ten thousand random cuts and damages of every provider's answers, through its reader.
 *
 * However a stream is cut, its parts are the same; the parts of its beginning are the beginning of its parts; and no
 * bytes at all make a reader throw or hang. The seed of each file is printed: with `FLOW_SEED` set to the run's number
 * the same cuts come again.
 */

import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../../src/providers/adapter.ts";
import { findProvider, providerIds } from "../../src/providers/index.ts";
import { askedInChat } from "../../src/wires/asked.ts";
import { openItems } from "../../src/wires/openai-chat/stream/items.ts";
import type { StreamItem } from "../../src/wires/wire.ts";
import { asChat } from "../support/as-chat.ts";
import { allFixtures, bytesOf, cutAtRandom, type Fixture, isStream } from "../support/fixtures.ts";
import { randomFrom } from "../support/random.ts";

const RUNS = 10_000;
const RUN_NUMBER = Number(process.env["FLOW_SEED"] ?? Date.now() % 1_000_000_000);
/** Far above what the longest stream takes at once; a reader whose time grows with the square of it takes longer. */
const SLOW_MS = 2_000;
const TIMEOUT_MS = 900_000;

type Random = () => number;
interface Reader {
  push(bytes: Uint8Array): readonly unknown[];
  end(): readonly unknown[];
}

const FIXTURES = allFixtures();
const below = (random: Random, limit: number): number => Math.floor(random() * limit);

/** Follows from the run's number and the file's name. */
function seedOf({ file, provider }: Fixture): number {
  let seed = RUN_NUMBER;
  for (const letter of `${provider}/${file}`) seed = (Math.imul(seed, 31) + letter.charCodeAt(0)) >>> 0;
  return seed;
}

function contextOf(fixture: Fixture): AnswerContext {
  const fields = { model: "flow/soak", messages: [{ role: "user", content: "hi" }], stream: true, ...fixture.request };
  return { asked: askedInChat(fields), model: "soak-model", traceId: "tr_soak", createdAt: 1_795_000_000 };
}

function readerOf(fixture: Fixture): Reader {
  const items = openItems(findProvider(fixture.provider)?.adapter.translation, contextOf(fixture), "extras");
  // What events say counts: the LF of a CRLF that was cut may stand before the next event.
  const events = (read: readonly StreamItem[]) => read.flatMap((item) => item.events);
  return { push: (bytes) => events(items.push(bytes)), end: () => events(items.end()) };
}

/** Mostly short pieces, at times the shortest there are, at times few long ones. */
function cut(bytes: Uint8Array, random: Random): Uint8Array[] {
  const style = below(random, 3);
  if (style === 0) return cutAtRandom(bytes, random);
  if (style === 1) {
    const at = below(random, bytes.length + 1);
    return [bytes.subarray(0, at), bytes.subarray(at)];
  }
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + below(random, 4);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

function partsOf(fixture: Fixture, pieces: readonly Uint8Array[]): string[] {
  const reader = readerOf(fixture);
  const parts = pieces.flatMap((piece) => reader.push(piece));
  return [...parts, ...reader.end()].map((part) => JSON.stringify(part));
}

/** One to four damages: bytes changed, taken out, put in, doubled, moved, or the end cut off. */
function damage(bytes: Uint8Array, random: Random): Uint8Array {
  let damaged = [...bytes];
  for (let count = 1 + below(random, 4); count > 0; count--) {
    const at = below(random, damaged.length);
    const size = 1 + below(random, 24);
    const span = damaged.slice(at, at + size);
    const kind = below(random, 7);
    if (kind === 0) damaged[at] = below(random, 256);
    else if (kind === 1) damaged.splice(at, size);
    else if (kind === 2) damaged.splice(at, 0, ...span);
    else if (kind === 3) damaged.splice(below(random, damaged.length), 0, ...damaged.splice(at, size));
    else if (kind === 4) damaged = damaged.slice(0, at);
    else if (kind === 5) damaged.splice(at, 0, ...Buffer.from(ODD[below(random, ODD.length)]!));
    else for (let bit = at; bit < Math.min(at + size, damaged.length); bit++) damaged[bit]! ^= 1 << below(random, 8);
  }
  return Uint8Array.from(damaged);
}

const ODD = [
  "\n\n",
  "\r",
  "data: null\n\n",
  "data: {}\n\n",
  "data: []\n\n",
  "event: error\n",
  "null",
  "{}",
  "[]",
  '""',
  "-1",
  "1e999",
  "\0",
];

function timed<Result>(what: string, run: () => Result): Result {
  const startedAt = performance.now();
  const result = run();
  const tookMs = performance.now() - startedAt;
  if (tookMs > SLOW_MS) throw new Error(`${what} took ${tookMs.toFixed(0)} ms`);
  return result;
}

/** `count` turns for each file, so that a provider has `RUNS` of them. */
function shares<Item>(items: readonly Item[]): { item: Item; count: number }[] {
  return items.map((item) => ({ item, count: Math.ceil(RUNS / items.length) }));
}

const providers = providerIds().filter((id) => FIXTURES.some(({ provider }) => provider === id));

describe.each(providers)("%s", (id) => {
  const ofProvider = FIXTURES.filter(({ provider }) => provider === id);
  const streams = ofProvider.filter(isStream);
  const bodies = ofProvider.filter((fixture) => !isStream(fixture));

  test.runIf(streams.length > 0)("a stream reads the same however it is cut", { timeout: TIMEOUT_MS }, () => {
    for (const { item: fixture, count } of shares(streams)) {
      const seed = seedOf(fixture);
      console.log(`${id} ${fixture.file}: ${count} cuts, seed ${seed}`);
      const random = randomFrom(seed);
      const bytes = bytesOf(fixture);
      const whole = partsOf(fixture, [bytes]);
      for (let run = 0; run < count; run++) {
        expect(timed(fixture.file, () => partsOf(fixture, cut(bytes, random)))).toEqual(whole);
      }
    }
  });

  test.runIf(streams.length > 0)("a beginning reads as the beginning", { timeout: TIMEOUT_MS }, () => {
    for (const { item: fixture, count } of shares(streams)) {
      const random = randomFrom(seedOf(fixture) + 1);
      const bytes = bytesOf(fixture);
      const whole = partsOf(fixture, [bytes]);
      for (let run = 0; run < count / 10; run++) {
        const reader = readerOf(fixture);
        const parts = reader.push(bytes.subarray(0, below(random, bytes.length))).map((part) => JSON.stringify(part));
        expect(parts).toEqual(whole.slice(0, parts.length));
        reader.end();
      }
    }
  });

  test.runIf(streams.length > 0)(
    "a damaged stream does no harm, and no cut changes it",
    { timeout: TIMEOUT_MS },
    () => {
      for (const { item: fixture, count } of shares(streams)) {
        const seed = seedOf(fixture) + 2;
        console.log(`${id} ${fixture.file}: ${count} damages, seed ${seed}`);
        const random = randomFrom(seed);
        const bytes = bytesOf(fixture);
        for (let run = 0; run < count; run++) {
          const damaged = below(random, 2) === 0 ? damage(bytes, random) : damageEvents(fixture, bytes, random);
          const whole = timed(fixture.file, () => partsOf(fixture, [damaged]));
          expect(partsOf(fixture, cut(damaged, random))).toEqual(whole);
        }
      }
    },
  );

  test.runIf(bodies.length > 0)(
    "a damaged body is an answer or a failure, never a throw",
    { timeout: TIMEOUT_MS },
    () => {
      const adapter = findProvider(id)!.adapter;
      for (const { item: fixture, count } of shares(bodies)) {
        const seed = seedOf(fixture) + 3;
        console.log(`${id} ${fixture.file}: ${count} damages, seed ${seed}`);
        const random = randomFrom(seed);
        const text = bytesOf(fixture).toString("utf8");
        const headers = new Headers(Object.entries(fixture.headers).filter(([, value]) => value !== ""));
        for (let run = 0; run < count; run++) {
          const body = damageJson(text, random);
          timed(fixture.file, () =>
            adapter.classify({ status: [200, fixture.status][below(random, 2)]!, headers, body }),
          );
          if (typeof body !== "object" || body === null || Array.isArray(body)) continue;
          const answer = timed(fixture.file, () => {
            const { translation } = adapter;
            const read = translation?.readAnswer === undefined ? translation : asChat(translation);
            return read?.toCompletion?.(body, contextOf(fixture));
          });
          expect(JSON.stringify(answer ?? null)).toBeTypeOf("string");
        }
      }
    },
  );
});

/** A stream whose framing is whole and whose events say what no provider would. */
function damageEvents({ kind }: Fixture, bytes: Uint8Array, random: Random): Uint8Array {
  const damaged = (text: string): string => JSON.stringify(damageJson(text, random)) ?? "null";
  if (kind === "sse") {
    const text = Buffer.from(bytes).toString("utf8");
    return Buffer.from(
      text.replace(/^data: ([[{].*?)\r?$/gm, (_line: string, data: string) => `data: ${damaged(data)}`),
    );
  }
  const frames: Buffer[] = [];
  for (let rest = Buffer.from(bytes); rest.length > 0; rest = rest.subarray(rest.readUInt32BE(0))) {
    // Lengths, checksum, headers, payload, checksum: https://smithy.io/2.0/aws/amazon-eventstream.html
    const payloadAt = 12 + rest.readUInt32BE(4);
    const payload = Buffer.from(damaged(rest.toString("utf8", payloadAt, rest.readUInt32BE(0) - 4)));
    const frame = Buffer.concat([rest.subarray(0, payloadAt), payload, Buffer.alloc(4)]);
    frame.writeUInt32BE(frame.length, 0);
    frame.writeUInt32BE(crc32(frame.subarray(0, 8)), 8);
    frame.writeUInt32BE(crc32(frame.subarray(0, -4)), frame.length - 4);
    frames.push(frame);
  }
  return Buffer.concat(frames);
}

/** A body with some of its values replaced by others that JSON allows. */
function damageJson(text: string, random: Random): unknown {
  const values: unknown[] = [
    null,
    true,
    0,
    -1,
    1.5,
    1e300,
    "",
    "x",
    [],
    {},
    [null],
    [[]],
    { type: null },
    { type: "text" },
  ];
  const chance = random() * 0.2;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text, (_, value: unknown) => {
      const dice = random();
      if (dice > chance) return value;
      return dice < chance / 4 ? undefined : structuredClone(values[below(random, values.length)]);
    });
  } catch {
    // Some bodies have lines before their JSON.
  }
  return parsed;
}
