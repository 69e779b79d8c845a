/** The most tokens of a picture and of sound, against what the rules say of the largest ones. */
import { describe, expect, test } from "vitest";
import { catalog } from "../../../src/catalog/models.ts";
import type { MediaPart } from "../../../src/conversation/demand.ts";
import { audioCeiling, imageCeiling } from "../../../src/pricing/media.ts";

/** OpenAI's rule of tiles, spelled out for one size. */
function tiles(width: number, height: number, base: number, perTile: number): number {
  const fit = Math.min(1, 2_048 / Math.max(width, height));
  const shrink = Math.min(1, 768 / (Math.min(width, height) * fit));
  const [w, h] = [width * fit * shrink, height * fit * shrink];
  return base + perTile * Math.ceil(w / 512) * Math.ceil(h / 512);
}

/** Google's, of the second generation. */
function googleTiles(width: number, height: number): number {
  if (width <= 384 && height <= 384) return 258;
  const fit = Math.min(1, 3_072 / Math.max(width, height));
  const [w, h] = [width * fit, height * fit];
  const unit = Math.min(768, Math.max(256, Math.floor(Math.min(w, h) / 1.5)));
  return 258 * Math.ceil(w / unit) * Math.ceil(h / unit);
}

const SIZES = [1, 64, 255, 300, 384, 385, 512, 768, 1_024, 1_568, 2_048, 3_072, 8_000].flatMap((width) =>
  [1, 200, 384, 512, 1_000, 4_096, 8_000].map((height) => [width, height] as const),
);

describe("no picture of any size is above the ceiling", () => {
  test.each([
    ["gpt-4o", 85, 170],
    ["gpt-4o-mini-2024-07-18", 2_833, 5_667],
    ["o3", 75, 150],
    ["gpt-5", 70, 140],
  ])("%s", (model, base, perTile) => {
    for (const [width, height] of SIZES) {
      expect(tiles(width, height, base, perTile)).toBeLessThanOrEqual(imageCeiling("openai", model));
    }
  });

  test("gemini-2.5-flash", () => {
    for (const [width, height] of SIZES) {
      expect(googleTiles(width, height)).toBeLessThanOrEqual(imageCeiling("google", "gemini-2.5-flash"));
    }
  });
});

describe("the ceiling of a picture", () => {
  test.each([
    ["openai", "gpt-4o", 1_445],
    ["azure", "gpt-4o", 1_445],
    ["openrouter", "openai/gpt-4o", 1_445],
    ["openai", "gpt-4.1-mini-2031-01-01", 3_779],
    ["openai", "gpt-5.5", 24_600],
    ["anthropic", "claude-opus-5", 4_784],
    ["bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 4_784],
    ["google", "gemini-3.1-pro-preview", 6_192],
    ["xai", "grok-4.5", 1_792],
    ["an-operators-own", "anything", 50_000],
  ])("%s/%s", (provider, model, tokens) => expect(imageCeiling(provider, model)).toBe(tokens));

  test("no model of the table has more than the one that an unknown one has", () => {
    for (const [provider, models] of Object.entries(catalog().models)) {
      for (const model of Object.keys(models)) expect(imageCeiling(provider, model)).toBeLessThanOrEqual(50_000);
    }
  });
});

function sound(head: string | Uint8Array, bytes: number): MediaPart {
  const base64Length = Math.ceil(bytes / 3) * 4;
  const bytesOf = typeof head === "string" ? Buffer.from(head, "latin1") : head;
  return { medium: "audio", path: "messages[0].content[0]", base64Length, head: new Uint8Array(bytesOf) };
}

function wave(format: number, sampleRate: number, byteRate: number, blockAlign: number): Uint8Array {
  const head = Buffer.alloc(48);
  head.write("RIFF\0\0\0\0WAVEfmt ", 0, "latin1");
  head.writeUInt16LE(format, 20);
  head.writeUInt32LE(sampleRate, 24);
  head.writeUInt32LE(byteRate, 28);
  head.writeUInt16LE(blockAlign, 32);
  return head;
}

describe("the ceiling of sound", () => {
  test.each<[string, string, MediaPart, number | null]>([
    ["a second of MP3 has 1,000 bytes at least", "openai", sound("\xff\xfb", 60_000), 600],
    ["Google counts 32 a second", "google", sound("ID3", 60_000), 1_920],
    ["others are taken for the most", "an-operators-own", sound("x", 60_000), 3_840],
    ["the rate of a recording is in its head", "openai", sound(wave(1, 16_000, 32_000, 2), 320_000), 110],
    ["the lower of its two rates counts", "openai", sound(wave(1, 16_000, 1, 2), 3_000), 30_000],
    ["a recording at no rate has no bound", "openai", sound(wave(1, 0, 32_000, 2), 3_000), null],
    ["nor has one that is compressed", "openai", sound(wave(0x31, 8_000, 1_625, 65), 3_000), null],
    ["nor FLAC, in which silence is free", "google", sound("fLaC", 3_000), null],
    ["nor Ogg", "google", sound("OggS", 3_000), null],
    ["nor MP4", "google", sound("\0\0\0\x20ftypM4A ", 3_000), null],
    ["nor AAC", "google", sound(new Uint8Array([0xff, 0xf1]), 3_000), null],
    ...(
      [
        ["FLAC behind another byte", "\0fLaC"],
        ["Ogg behind another byte", "\0\0OggS"],
        ["TTA", "TTA1"],
        ["WMA", "0&\xb2u\x8ef\xcf\x11"],
        ["AVI", "RIFF\0\0\0\0AVI LIST"],
        ["a long WAVE", "RF64\xff\xff\xff\xffWAVEds64"],
        ["Matroska", "\x1aE\xdf\xa3"],
        ["Flash", "FLV\x01"],
        ["DSD", "DSD \x1c"],
        ["a transport stream", "G@\0\x10"],
        ["a program stream", "\0\0\x01\xba"],
        ["AAC with its length", "V\xe0\0"],
        ["AC-3", "\x0bw"],
        ["DTS", "\x7f\xfe\x80\x01"],
        ["an archive", "PK\x03\x04"],
        ["Sun's sound", ".snd"],
      ] as const
    ).map(([name, head]): [string, string, MediaPart, null] => [`nor ${name}`, "google", sound(head, 3_000), null]),
    ["nor what is no base64", "google", { ...sound("x", 3_000), head: undefined }, null],
  ])("%s", (_, provider, part, tokens) => {
    const ceiling = audioCeiling(provider, part);
    // A recording is shorter than its file by its head.
    if (tokens === null) expect(ceiling).toBeNull();
    else expect(Math.abs((ceiling ?? 0) - tokens)).toBeLessThanOrEqual(tokens / 10);
  });
});
