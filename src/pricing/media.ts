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
  const name = String.fromCharCode(...head);
  if (name.startsWith("RIFF") && name.slice(8, 12) === "WAVE") return waveBytesPerSecond(head);
  const isContainer = CONTAINERS.some((mark) => name.startsWith(mark)) || ANYWHERE.some((mark) => name.includes(mark));
  return isContainer || isCompactFrame(head) ? null : LEAST_BYTES_PER_SECOND;
}

/** A frame of AAC (ADTS 0xfff1 and 0xfff9, LOAS 0x56e), of AC-3 or DTS, or a packet of an MPEG stream. */
function isCompactFrame([first = 0, second = 0, third = 0]: Uint8Array): boolean {
  if (first === 0xff) return (second & 0xf6) === 0xf0;
  if (first === 0x56) return (second & 0xe0) === 0xe0;
  if (first === 0x0b) return second === 0x77;
  if (first === 0x7f) return second === 0xfe;
  return first === 0x47 || (first === 0 && second === 0 && third === 1);
}

/**
 * How everything begins that a decoder takes for sound and in which silence takes next to nothing, or whose rate is its
 * own to say. What begins like none of them, and is not raw, is no sound to anybody.
 * https://en.wikipedia.org/wiki/List_of_file_signatures
 */
const CONTAINERS: readonly string[] = [
  ...["RIFF", "RF64", "BW64", "RIFX", "riff", "FORM", "FRM8", "LIST", "caff", ".snd", "dns.", "FLV", "DSD ", "NIST_1A"],
  ...["#!AMR", "#!SILK", "ADIF", "wvpk", "MAC ", "TTA1", "TTA2", "MPCK", "MP+", "OFR ", "LA0", "ajkg", "TWIN", "Speex"],
  ...["0&\xb2u", ".RMF", ".ra\xfd", "Creative Voice File", "MThd", "2BIT", "IMPM", "Extended Module", "KW\xa9", "PK"],
  ...["\x1f\x8b", "BZh", "7z\xbc\xaf", "\xfd7zXZ", "(\xb5/\xfd"],
];
/** Decoders find these behind some other bytes, too. */
const ANYWHERE: readonly string[] = ["fLaC", "OggS", "ftyp", "moov", "mdat", "\x1aE\xdf\xa3"];

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
