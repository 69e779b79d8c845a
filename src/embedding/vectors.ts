/**
 * Vectors as they come and as they go: lists of numbers, or base64 of little-endian float32. Pure.
 *
 * What waits to be sent is kept compact and off the heap: a part of an answer may hold a million values.
 */

/** As a provider wrote it. */
export type RawVector = string | readonly number[];

/** As it waits to be written: base64 that is sent on, or values. Those from base64 are float32, all others as they came. */
export type PackedVector = string | Float32Array | Float64Array;

export type VectorFormat = "float" | "base64";

const BYTES_PER_FLOAT32 = 4;
/** More arguments than that overflow the stack of some engines. */
const CHARS_AT_ONCE = 8_192;

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export function isVector(value: unknown): value is RawVector {
  if (typeof value === "string") return value !== "";
  return Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "number");
}

/** How many values it holds; `null`: it is no vector. */
export function lengthOf(vector: RawVector): number | null {
  if (typeof vector !== "string") return vector.length;
  if (vector.length % 4 !== 0 || !BASE64.test(vector)) return null;
  const padding = vector.endsWith("==") ? 2 : vector.endsWith("=") ? 1 : 0;
  const bytes = (vector.length / 4) * 3 - padding;
  return bytes % BYTES_PER_FLOAT32 === 0 ? bytes / BYTES_PER_FLOAT32 : null;
}

/** `vector` as it is needed for an answer in `format`; `null`: a value is no finite number. */
export function pack(vector: RawVector, format: VectorFormat): PackedVector | null {
  if (typeof vector === "string") {
    if (format === "base64") return vector;
    const values = decodeBase64(vector);
    return values.every(Number.isFinite) ? values : null;
  }
  // A list of other things than numbers gives NaN.
  const values = format === "base64" ? Float32Array.from(vector) : Float64Array.from(vector);
  if (!values.every(Number.isFinite)) return null;
  return values instanceof Float32Array ? encodeBase64(values) : values;
}

/** Little-endian, as all engines that run this are. */
export function decodeBase64(text: string): Float32Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / BYTES_PER_FLOAT32));
}

export function encodeBase64(values: Float32Array): string {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHARS_AT_ONCE) {
    binary += String.fromCharCode(...bytes.subarray(at, at + CHARS_AT_ONCE));
  }
  return btoa(binary);
}

/** The JSON text of a vector. `isShort`: values from base64 are rounded to seven places, so that an answer of many fits. */
export function writeVector(vector: PackedVector, isShort: boolean): string {
  if (typeof vector === "string") return `"${vector}"`;
  if (vector instanceof Float64Array) return `[${vector.join(",")}]`;
  const texts: string[] = [];
  for (const value of vector) texts.push(isShort ? shortText(value) : floatText(value));
  return `[${texts.join(",")}]`;
}

/** The shortest of eight and nine digits that is this float32 and no other. */
function floatText(value: number): string {
  const shorter = Number(value.toPrecision(8));
  return String(Math.fround(shorter) === value ? shorter : Number(value.toPrecision(9)));
}

const PLACES = 10_000_000;

function shortText(value: number): string {
  return String(Math.round(value * PLACES) / PLACES);
}
