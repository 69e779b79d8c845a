/** One key's stored responses, on a real SQLite: what is found, for whom and how long, and what goes first. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ResponseStore } from "../../../src/conversation-store/store.ts";
import { MAX_CHAIN_LENGTH, MAX_RESPONSE_BYTES, type ResponseToStore } from "../../../src/conversation-store/types.ts";
import { type Store, startStore } from "../ledger/fakes.ts";

const T0 = 1_800_000_000_000;
const TTL_MS = 1_000_000;
const MIB = 1024 * 1024;
const MINE = Uint8Array.of(1, 2, 3);
const OTHER = Uint8Array.of(1, 2, 4);

function open(maxKeyBytes?: number): { readonly store: ResponseStore; readonly rows: Store } {
  const rows = startStore();
  return { store: new ResponseStore(rows.sql, maxKeyBytes), rows };
}

const bytes = (length: number, fill = 7): Uint8Array => new Uint8Array(length).fill(fill);
const response = (id: string, members: Partial<ResponseToStore> = {}): ResponseToStore => ({
  ...{ id, previousId: null, mark: MINE, itemIds: [], ttlMs: TTL_MS, input: bytes(3), response: bytes(5, 8) },
  ...members,
});
const idsOf = (read: ReturnType<ResponseStore["get"]>): readonly string[] | string =>
  read.ok ? read.responses.map(({ id }) => id) : read.reason;

test.each([0, 1, 999_999, 1_000_000, 1_000_001, 3_500_000])("%i bytes come back as they went in", (length) => {
  const { store, rows } = open();
  const data = Uint8Array.from({ length }, (_, at) => at % 251);
  store.put(response("resp_1", { response: data }), T0);
  const read = store.get("resp_1", MINE, T0);
  expect(read.ok && Buffer.from(read.responses[0]!.response).equals(Buffer.from(data))).toBe(true);
  const [largest] = rows.sql.exec<{ most: number }>("SELECT max(length(data)) AS most FROM piece").toArray();
  expect(largest?.most ?? 0).toBeLessThanOrEqual(MIB);
});

describe("a response is found", () => {
  test("with the mark it was stored with, until it expires", () => {
    const { store } = open();
    store.put(response("resp_1", { itemIds: ["rs_1"] }), T0);
    expect(idsOf(store.get("resp_1", MINE, T0 + TTL_MS - 1))).toEqual(["resp_1"]);
    for (const [mark, now] of [
      [OTHER, T0],
      [Uint8Array.of(1, 2), T0],
      [MINE, T0 + TTL_MS],
    ] as const) {
      expect(idsOf(store.get("resp_1", mark, now))).toBe("not_found");
      expect(idsOf(store.chain("resp_1", mark, now))).toBe("not_found");
      expect(idsOf(store.holding(["rs_1"], mark, now))).toBe("not_found");
      expect(store.delete("resp_1", mark, now)).toBe(false);
    }
    expect(idsOf(store.get("resp_2", MINE, T0))).toBe("not_found");
  });

  test("as it was stored last", () => {
    const { store } = open();
    store.put(response("resp_1", { itemIds: ["rs_1"] }), T0);
    store.put(response("resp_1", { itemIds: ["rs_2"], input: bytes(2, 9) }), T0);
    const read = store.get("resp_1", MINE, T0);
    expect(read.ok && read.responses[0]?.input).toEqual(bytes(2, 9));
    expect(idsOf(store.holding(["rs_1"], MINE, T0))).toBe("not_found");
    expect(idsOf(store.holding(["rs_2"], MINE, T0))).toEqual(["resp_1"]);
  });

  test("once it was deleted no more, nor what is left of it", () => {
    const { store, rows } = open();
    store.put(response("resp_1", { itemIds: ["rs_1"] }), T0);
    expect(store.delete("resp_1", MINE, T0)).toBe(true);
    expect(store.delete("resp_1", MINE, T0)).toBe(false);
    for (const table of ["response", "piece", "item"]) {
      expect(rows.sql.exec<{ count: number }>(`SELECT count(*) AS count FROM ${table}`).one().count).toBe(0);
    }
  });
});

describe("a conversation", () => {
  const long = (store: ResponseStore, count: number): void => {
    for (let at = 0; at < count; at++) {
      store.put(response(`resp_${at}`, { previousId: at === 0 ? null : `resp_${at - 1}` }), T0 + at);
    }
  };

  test("comes in its order, up to any of its responses", () => {
    const { store } = open();
    long(store, 4);
    expect(idsOf(store.chain("resp_3", MINE, T0))).toEqual(["resp_0", "resp_1", "resp_2", "resp_3"]);
    expect(idsOf(store.chain("resp_1", MINE, T0))).toEqual(["resp_0", "resp_1"]);
  });

  test("is not found where a part of it is gone or another secret's: never a part of it as all", () => {
    const { store } = open();
    long(store, 4);
    store.delete("resp_1", MINE, T0);
    expect(idsOf(store.chain("resp_3", MINE, T0))).toBe("not_found");
    expect(idsOf(store.chain("resp_0", MINE, T0))).toEqual(["resp_0"]);
    store.put(response("resp_a", { mark: OTHER }), T0);
    store.put(response("resp_b", { previousId: "resp_a" }), T0);
    expect(idsOf(store.chain("resp_b", MINE, T0))).toBe("not_found");
  });

  test("that goes on is kept whole, with few writes", () => {
    const { store, rows } = open();
    let now = T0;
    const writes = { count: 0 };
    const { exec } = rows.sql;
    rows.sql.exec = ((query: string, ...bindings: unknown[]) => {
      if (query.includes("UPDATE response SET expires")) {
        const before = exec.call(rows.sql, "SELECT id, expires_at_ms FROM response ORDER BY id").toArray();
        const result = exec.call(rows.sql, query, ...bindings);
        const after = exec.call(rows.sql, "SELECT id, expires_at_ms FROM response ORDER BY id").toArray();
        writes.count += after.filter((row, at) => row["expires_at_ms"] !== before[at]?.["expires_at_ms"]).length;
        return result;
      }
      return exec.call(rows.sql, query, ...bindings);
    }) as typeof exec;
    for (let at = 0; at < 40; at++) {
      now += TTL_MS / 20;
      store.put(response(`resp_${at}`, { previousId: at === 0 ? null : `resp_${at - 1}` }), now);
    }
    // Twice as long as a response is kept by itself.
    expect(store.chain("resp_39", MINE, now).ok).toBe(true);
    expect(writes.count).toBeLessThan(40 * 8);
  });

  test("does not live again once it has expired", () => {
    const { store } = open();
    store.put(response("resp_0"), T0);
    store.put(response("resp_1", { previousId: "resp_0" }), T0 + TTL_MS + 1);
    expect(idsOf(store.get("resp_0", MINE, T0 + TTL_MS + 1))).toBe("not_found");
  });

  test("too large for one answer is told apart from one that is gone", () => {
    const { store } = open();
    for (const at of [0, 1, 2]) {
      const previousId = at === 0 ? null : `resp_${at - 1}`;
      store.put(response(`resp_${at}`, { previousId, itemIds: [`rs_${at}`], response: bytes(6 * MIB) }), T0);
    }
    expect(idsOf(store.chain("resp_1", MINE, T0))).toEqual(["resp_0", "resp_1"]);
    expect(idsOf(store.chain("resp_2", MINE, T0))).toBe("too_large");
    expect(idsOf(store.holding(["rs_0", "rs_1", "rs_2"], MINE, T0))).toBe("too_large");
  });

  test("that refers to itself ends all the same", () => {
    const { store } = open();
    store.put(response("resp_1", { previousId: "resp_1" }), T0);
    store.put(response("resp_1", { previousId: "resp_1" }), T0);
    expect(idsOf(store.chain("resp_1", MINE, T0))).toBe("too_large");
  });

  test("may be long", () => {
    const { store } = open();
    long(store, MAX_CHAIN_LENGTH);
    const read = store.chain(`resp_${MAX_CHAIN_LENGTH - 1}`, MINE, T0);
    expect(read.ok && read.responses.length).toBe(MAX_CHAIN_LENGTH);
  });
});

describe("items", () => {
  test("are found in the newest response that holds them, all or none", () => {
    const { store } = open();
    store.put(response("resp_1", { itemIds: ["rs_1", "fc_1"] }), T0);
    store.put(response("resp_2", { itemIds: ["fc_1", "fc_1", "msg_1"] }), T0 + 1);
    expect(idsOf(store.holding(["rs_1", "fc_1"], MINE, T0))).toEqual(["resp_1", "resp_2"]);
    expect(idsOf(store.holding(["fc_1", "msg_1"], MINE, T0))).toEqual(["resp_2"]);
    expect(idsOf(store.holding(["rs_1", "rs_9"], MINE, T0))).toBe("not_found");
    store.delete("resp_2", MINE, T0);
    expect(idsOf(store.holding(["fc_1"], MINE, T0))).toEqual(["resp_1"]);
  });
});

describe("room", () => {
  test("a response above 8 MiB is refused, and nothing else goes for it", () => {
    const { store } = open();
    store.put(response("resp_0"), T0);
    const large = response("resp_1", { input: bytes(MAX_RESPONSE_BYTES - 4), response: bytes(5) });
    expect(store.put(large, T0)).toEqual({ ok: false, reason: "too_large" });
    expect(store.put({ ...large, response: bytes(4) }, T0)).toEqual({ ok: true });
    expect(idsOf(store.get("resp_0", MINE, T0))).toEqual(["resp_0"]);
  });

  test("the oldest go first, and never more than needed", () => {
    const { store } = open(100);
    for (const at of [0, 1, 2, 3, 4])
      store.put(response(`resp_${at}`, { input: bytes(15), response: bytes(5) }), T0 + at);
    store.put(response("resp_5", { input: bytes(25), response: bytes(5) }), T0 + 5);
    expect([0, 1, 2, 3, 4, 5].map((at) => store.get(`resp_${at}`, MINE, T0).ok)).toEqual([
      ...[false, false, true, true, true, true],
    ]);
  });

  test("is counted exactly, whatever is stored, replaced, deleted or expires", () => {
    const change = fc.record({
      kind: fc.constantFrom("put", "delete", "prune", "erase"),
      id: fc.nat(5),
      size: fc.nat(40),
      later: fc.nat(TTL_MS),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const { store, rows } = open(100);
        let now = T0;
        for (const { kind, id, size, later } of changes) {
          now += later;
          if (kind === "put") store.put(response(`resp_${id}`, { input: bytes(size), itemIds: [`i_${size}`] }), now);
          else if (kind === "delete") store.delete(`resp_${id}`, MINE, now);
          else if (kind === "prune") store.prune(now);
          else if (size === 0) store.erase();
          const [sums] = rows.sql
            .exec<{ kept: number; summed: number; pieces: number }>(
              `SELECT (SELECT bytes FROM total) AS kept, (SELECT coalesce(sum(bytes), 0) FROM response) AS summed,
                (SELECT coalesce(sum(length(data)), 0) FROM piece) AS pieces`,
            )
            .toArray();
          expect(sums?.kept).toBe(sums?.summed);
          expect(sums?.pieces).toBe(sums?.summed);
          expect(sums?.kept).toBeLessThanOrEqual(100);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("pruning", () => {
  test("removes what has expired, and says when it is due again", () => {
    const { store, rows } = open();
    store.put(response("resp_0"), T0);
    store.put(response("resp_1"), T0 + 10);
    expect(store.prune(T0 + TTL_MS - 1)).toBe(T0 + TTL_MS);
    expect(store.prune(T0 + TTL_MS)).toBe(T0 + TTL_MS + 10);
    expect(rows.sql.exec("SELECT id FROM response").toArray()).toMatchObject([{ id: "resp_1" }]);
    expect(store.prune(T0 + TTL_MS + 10)).toBeNull();
  });

  test("of many takes several turns", () => {
    const { store } = open();
    for (let at = 0; at < 250; at++) store.put(response(`resp_${at}`), T0);
    expect(store.prune(T0 + TTL_MS)).toBe(T0 + TTL_MS);
    expect(store.prune(T0 + TTL_MS)).toBeNull();
  });

  test("erasing leaves nothing, whoever's it was", () => {
    const { store } = open();
    store.put(response("resp_0", { mark: OTHER, itemIds: ["rs_1"] }), T0);
    store.put(response("resp_1", { itemIds: ["rs_1"] }), T0);
    store.erase();
    expect(idsOf(store.get("resp_0", OTHER, T0))).toBe("not_found");
    expect(idsOf(store.holding(["rs_1"], MINE, T0))).toBe("not_found");
    expect(store.prune(T0)).toBeNull();
  });
});
