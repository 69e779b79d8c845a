import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBase64, encodeBase64, isVector, lengthOf, pack, writeVector } from "../../../src/embedding/vectors.ts";

const float32 = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 });
const vectors = fc.array(float32, { minLength: 1, maxLength: 40 });

test("base64 is little-endian float32, and gives back what was put in", () => {
  expect(encodeBase64(Float32Array.of(1, -2))).toBe(Buffer.from([0, 0, 128, 63, 0, 0, 0, 192]).toString("base64"));
  fc.assert(
    fc.property(vectors, (values) => {
      const text = encodeBase64(Float32Array.from(values));
      expect(text).toBe(Buffer.from(Float32Array.from(values).buffer).toString("base64"));
      expect([...decodeBase64(text)]).toEqual(values);
      expect(lengthOf(text)).toBe(values.length);
    }),
  );
});

test("a long vector is encoded in pieces that no stack overflows at", () => {
  const values = Float32Array.from({ length: 65_536 }, (_, at) => at / 65_536);
  expect(decodeBase64(encodeBase64(values))).toEqual(values);
});

test("values from base64 are written with the digits that make them the same float32", () => {
  fc.assert(
    fc.property(vectors, (values) => {
      const packed = pack(encodeBase64(Float32Array.from(values)), "float");
      const written = JSON.parse(writeVector(packed!, false)) as number[];
      expect(written.map(Math.fround)).toEqual(values.map((each) => each + 0));
    }),
  );
});

test("values of a list are written as they came", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }), (values) => {
      const packed = pack(values, "float");
      expect(JSON.parse(writeVector(packed!, true))).toEqual(values.map((each) => each + 0));
    }),
  );
});

test("a short form is right to the seventh place, and shorter than eleven bytes a value", () => {
  const values = Float32Array.from({ length: 10_000 }, (_, at) => Math.sin(at) / 30);
  const text = writeVector(values, true);
  const written = JSON.parse(text) as number[];
  expect(written.every((each, at) => Math.abs(each - values[at]!) <= 1e-7)).toBe(true);
  expect(text.length / values.length).toBeLessThan(10.6);
});

test.each([
  { name: "no base64", vector: "@@@@" },
  { name: "base64 without its end", vector: "AAAAA" },
  { name: "base64 of half a value", vector: "AAAA" },
])("$name has no length", ({ vector }) => expect(lengthOf(vector)).toBeNull());

test.each([
  { name: "a list", value: [1, 2], is: true },
  { name: "base64", value: "AAAAAA==", is: true },
  { name: "an empty list", value: [], is: false },
  { name: "an empty text", value: "", is: false },
  { name: "texts", value: ["1"], is: false },
  { name: "a number", value: 1, is: false },
  { name: "null", value: null, is: false },
])("$name: is a vector: $is", ({ value, is }) => expect(isVector(value)).toBe(is));

test("what is no finite number is no vector", () => {
  expect(pack(encodeBase64(Float32Array.of(Number.NaN)), "float")).toBeNull();
  expect(pack(encodeBase64(Float32Array.of(Number.POSITIVE_INFINITY)), "float")).toBeNull();
  expect(pack([1e300], "base64")).toBeNull();
});
