import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AwsEventStreamReader,
  type AwsMessage,
  crc32,
  MAX_MESSAGE_BYTES,
} from "../../../../src/wires/bedrock/event-stream.ts";
import { event, frame, header } from "../../../support/aws-event-stream.ts";
import { isLinear } from "../../../support/work.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
const plain = ({ headers, payload }: AwsMessage) => ({ headers: Object.fromEntries(headers), payload: text(payload) });

function readAll(pieces: readonly Uint8Array[]) {
  const reader = new AwsEventStreamReader();
  const messages = pieces.flatMap((piece) => reader.push(piece)).map(plain);
  return { messages, fault: reader.fault, isMidMessage: reader.isMidMessage };
}

const STREAM = Buffer.concat([
  event("a", { n: 1 }),
  event("b", { text: "ü€🏔" }),
  frame(Buffer.alloc(0), Buffer.alloc(0)),
]);

test("the checksum of the standard's example", () => {
  expect(crc32(Buffer.from("123456789"))).toBe(0xcb_f4_39_26);
});

test("every type of header", () => {
  const headers = Buffer.concat([
    header("yes", 0, Buffer.alloc(0)),
    header("no", 1, Buffer.alloc(0)),
    header("byte", 2, Buffer.from([0xff])),
    header("short", 3, Buffer.from([0xff, 0xfe])),
    header("int", 4, Buffer.from([0, 1, 0, 0])),
    header("long", 5, Buffer.from([0, 0, 1, 0, 0, 0, 0, 0])),
    header("bytes", 6, Buffer.from([0, 2, 7, 8])),
    header("text", 7, Buffer.from([0, 2, 0xc3, 0xbc])),
    header("time", 8, Buffer.from([0, 0, 1, 0x9a, 0, 0, 0, 0])),
    header("uuid", 9, Buffer.from("00112233445566778899aabbccddeeff", "hex")),
  ]);
  const [message] = new AwsEventStreamReader().push(frame(headers, Buffer.from("x")));
  expect(Object.fromEntries(message!.headers)).toEqual({
    yes: true,
    no: false,
    byte: -1,
    short: -2,
    int: 65_536,
    long: 1_099_511_627_776n,
    bytes: new Uint8Array([7, 8]),
    text: "ü",
    time: 0x019a_0000_0000n,
    uuid: "00112233-4455-6677-8899-aabbccddeeff",
  });
  expect(text(message!.payload)).toBe("x");
});

describe("chunking", () => {
  const whole = readAll([STREAM]);

  test("whole", () => {
    expect(whole).toMatchObject({ fault: null, isMidMessage: false });
    expect(whole.messages.map(({ payload }) => payload)).toEqual(['{"n":1}', '{"text":"ü€🏔"}', ""]);
  });

  test("cut at every byte, and byte by byte", () => {
    for (let at = 0; at <= STREAM.length; at++) {
      expect(readAll([STREAM.subarray(0, at), STREAM.subarray(at)])).toEqual(whole);
    }
    expect(readAll([...STREAM].map((byte) => new Uint8Array([byte])))).toEqual(whole);
  });

  test("a stream that ends inside a message", () => {
    expect(readAll([STREAM.subarray(0, -20)])).toMatchObject({ fault: null, isMidMessage: true });
  });

  test("a long message in small pieces costs no more than its length", () => {
    const readLong = (size: number): void => {
      const long = event("big", { text: "x".repeat(size) });
      const reader = new AwsEventStreamReader();
      let count = 0;
      for (let at = 0; at < long.length; at += 7) count += reader.push(long.subarray(at, at + 7)).length;
      expect(count).toBe(1);
    };
    expect(isLinear(100_000, readLong)).toBe(true);
  });
});

describe("damage", () => {
  const good = event("a", { n: 1 });
  const flipped = (at: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at] = bytes[at]! ^ 0x10;
    return bytes;
  };
  const prelude = (total: number, headers: number): Buffer => {
    const bytes = Buffer.alloc(12);
    bytes.writeUInt32BE(total, 0);
    bytes.writeUInt32BE(headers, 4);
    bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8);
    return bytes;
  };

  test.each([
    { name: "a length", bytes: flipped(1), fault: "bad_prelude" },
    { name: "the prelude's checksum", bytes: flipped(9), fault: "bad_prelude" },
    { name: "a header", bytes: flipped(16), fault: "bad_checksum" },
    { name: "the payload", bytes: flipped(good.length - 6), fault: "bad_checksum" },
    { name: "the message's checksum", bytes: flipped(good.length - 1), fault: "bad_checksum" },
    { name: "a message shorter than its frame", bytes: prelude(15, 0), fault: "bad_length" },
    { name: "headers longer than the message", bytes: prelude(20, 5), fault: "bad_length" },
    { name: "a message too long", bytes: prelude(MAX_MESSAGE_BYTES + 1, 0), fault: "too_long" },
    { name: "an unknown type of header", bytes: frame(header("a", 10, Buffer.alloc(0)), good), fault: "bad_headers" },
    { name: "a header beyond the end", bytes: frame(Buffer.from([9, 97]), good), fault: "bad_headers" },
    { name: "a value beyond the end", bytes: frame(header("a", 7, Buffer.from([0, 9])), good), fault: "bad_headers" },
    { name: "half a value's length", bytes: frame(header("a", 7, Buffer.from([0])), good), fault: "bad_headers" },
  ])("$name: an end, not an exception; what came before stays", ({ bytes, fault }) => {
    const read = readAll([good, bytes, good]);
    expect(read.messages).toHaveLength(1);
    expect(read.fault).toBe(fault);
  });

  test("any bytes, cut anyhow, are read to the same end", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.nat(STREAM.length),
        fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 40 }),
        (noise, at, sizes) => {
          const bytes = Buffer.concat([STREAM.subarray(0, at), noise, STREAM.subarray(at)]);
          const pieces: Uint8Array[] = [];
          let from = 0;
          for (const size of sizes) {
            pieces.push(bytes.subarray(from, from + size));
            from += size;
          }
          pieces.push(bytes.subarray(from));
          const cut = readAll(pieces);
          const whole = readAll([bytes]);
          expect(cut.messages).toEqual(whole.messages);
          expect(cut.fault).toBe(whole.fault);
        },
      ),
    );
  });
});
