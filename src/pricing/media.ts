/**
 * The most tokens of a picture or of sound. Pure.
 *
 * The size of a picture is not known, so its ceiling is the most that its model counts for any. The length of sound is
 * bounded by its bytes: no recording of the kinds that are distinguished here has fewer per second.
 */
import { audioTokensPerSecondOf, type ImageRule, imageRuleOf } from "../catalog/media-terms.ts";
import type { MediaPart } from "../conversation/demand.ts";

/** The most that any known model counts for one picture: gpt-4o-mini's 48,169 in full detail. */
const IMAGE_TOKENS = 50_000;
/** Twice what any known model counts. */
const AUDIO_TOKENS_PER_SECOND = 64;

export function imageCeiling(provider: string, model: string): number {
  const rule = imageRuleOf(provider, model);
  return rule === undefined ? IMAGE_TOKENS : ceilingOf(rule);
}

function ceilingOf(rule: ImageRule): number {
  switch (rule.kind) {
    case "tiles":
      return rule.base + rule.tiles * rule.perTile;
    case "patches":
      return Math.ceil(rule.patches * rule.perPatch);
  }
}

/**
 * The most tokens of sound that came inside the request; `null` where its bytes say nothing of its length: silence
 * takes next to none in FLAC, Ogg, Matroska, MP4 and AAC.
 */
export function audioCeiling(provider: string, { base64Length, head }: MediaPart): number | null {
  const bytesPerSecond = leastBytesPerSecond(head);
  if (bytesPerSecond === null) return null;
  const seconds = Math.ceil(((base64Length / 4) * 3) / bytesPerSecond);
  return seconds * (audioTokensPerSecondOf(provider) ?? AUDIO_TOKENS_PER_SECOND);
}

/** MPEG audio has 8 kbit/s at least: https://datatracker.ietf.org/doc/html/rfc3119. Nothing that is raw has less. */
const LEAST_BYTES_PER_SECOND = 1_000;

function leastBytesPerSecond(head: Uint8Array | undefined): number | null {
  if (head === undefined) return null;
  const name = String.fromCharCode(...head.slice(0, 12));
  if (name.startsWith("RIFF") && name.slice(8) === "WAVE") return waveBytesPerSecond(head);
  const isCompact = SILENCE_IS_FREE.some(([at, mark]) => name.slice(at).startsWith(mark));
  // 0xfff1 and 0xfff9 begin a frame of AAC.
  const isAac = head[0] === 0xff && ((head[1] ?? 0) & 0xf6) === 0xf0;
  return isCompact || isAac ? null : LEAST_BYTES_PER_SECOND;
}

/** The offset in the head, and the expected bytes. */
const SILENCE_IS_FREE: readonly (readonly [number, string])[] = [
  ...([
    [0, "fLaC"],
    [0, "OggS"],
    [4, "ftyp"],
    [0, "\x1aE\xdf\xa3"],
    [0, "#!AMR"],
    [0, "caff"],
    [0, "ADIF"],
  ] as const),
  ...([
    [0, "wvpk"],
    [0, "MAC "],
    [0, "FORM"],
  ] as const),
];

const PCM_FORMATS: ReadonlySet<number> = new Set([0x0001, 0x0003, 0x0006, 0x0007, 0xfffe]);
/** https://learn.microsoft.com/en-us/windows/win32/api/mmeapi/ns-mmeapi-waveformatex. */
const WAVE = { format: 20, sampleRate: 24, byteRate: 28, blockAlign: 32, length: 34 } as const;

/** The rate that the file itself names, by whichever of its members says less. `null`: it is not plain PCM. */
function waveBytesPerSecond(head: Uint8Array): number | null {
  // Nothing but a head.
  if (head.length < WAVE.length) return LEAST_BYTES_PER_SECOND;
  // Its description comes first in nearly every file.
  if (String.fromCharCode(...head.slice(12, 16)) !== "fmt ") return null;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (!PCM_FORMATS.has(view.getUint16(WAVE.format, true))) return null;
  const byRate = view.getUint32(WAVE.byteRate, true);
  const bySamples = view.getUint32(WAVE.sampleRate, true) * view.getUint16(WAVE.blockAlign, true);
  const least = Math.min(byRate, bySamples);
  return least > 0 ? least : null;
}
