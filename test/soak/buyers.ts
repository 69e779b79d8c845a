/** Clients with a budget: what they ask, when they leave, and what an operator sees of their money meanwhile. */
import { Agent, type IncomingMessage, request } from "node:http";
import { type Order, promptOf } from "./biller.ts";

export interface Purchase {
  readonly url: string;
  readonly key: string;
  readonly model: string;
  readonly order: Order;
  /** Characters of the prompt, at least. */
  readonly promptLength?: number;
  /** Merged into the request body. */
  readonly body?: object;
  /** The client leaves after so many milliseconds, or with so many characters of the answer, whatever comes first. */
  readonly leaves?: { readonly afterMs: number; readonly afterLength: number; readonly how: "close" | "reset" };
}

export interface Receipt {
  readonly id: number;
  /** 0: no answer, because the client left or the connection broke. */
  readonly status: number;
  /** Of an error body. */
  readonly code: string;
  readonly hasLeft: boolean;
  readonly tookMs: number;
  /** To the first byte of the body. */
  readonly firstByteMs: number;
  /** What the ledger took to admit it, as the router measured it. */
  readonly admissionMs: number;
  readonly remainingUsd: number | null;
}

const CLIENT_LIMIT_MS = 30_000;
/** Of a flow: what is due beyond it waits for a free one, or a pause of the machine would be a flood of connections. */
const MAX_FLOW_SOCKETS = 256;

interface Seen {
  response: IncomingMessage | null;
  text: string;
  firstByteAt: number;
  hasLeft: boolean;
}

function exchange(agent: Agent, { url, key, model, order, promptLength, body, leaves }: Purchase): Promise<Seen> {
  const seen: Seen = { response: null, text: "", firstByteAt: Number.NaN, hasLeft: false };
  const messages = [{ role: "user", content: promptOf(order, promptLength) }];
  const text = JSON.stringify({ model, messages, ...body });
  const headers = {
    authorization: `Bearer ${key}`,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "x-client-request-id": String(order.id),
  };
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(leaving);
      resolve(seen);
    };
    const options = { method: "POST", agent, headers, timeout: CLIENT_LIMIT_MS };
    const call = request(`${url}/v1/chat/completions`, options, (response) => {
      seen.response = response;
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        if (seen.text === "") seen.firstByteAt = performance.now();
        seen.text += piece;
        if (leaves !== undefined && seen.text.length >= leaves.afterLength) leave();
      });
      response.on("error", done);
      response.on("end", done);
    });
    const leave = (): void => {
      if (seen.response?.complete === true) return;
      seen.hasLeft = true;
      if (leaves?.how === "reset") call.socket?.resetAndDestroy();
      call.destroy();
      done();
    };
    const leaving = leaves === undefined ? undefined : setTimeout(leave, leaves.afterMs);
    call.on("timeout", () => call.destroy(new Error("No answer in time.")));
    call.on("error", done);
    call.end(text);
  });
}

export async function buy(agent: Agent, purchase: Purchase): Promise<Receipt> {
  const startedAt = performance.now();
  const { response, text, firstByteAt, hasLeft } = await exchange(agent, purchase);
  const tookMs = performance.now() - startedAt;
  const isAnswered = response !== null && !hasLeft && response.complete;
  const status = isAnswered ? (response.statusCode ?? 0) : 0;
  const { "server-timing": timing = "", "x-flowlayer-budget-remaining-usd": remaining } = response?.headers ?? {};
  const [, admission] = /admission;dur=(\d+)/.exec(String(timing)) ?? [];
  return {
    id: purchase.order.id,
    ...{ status, hasLeft, tookMs, firstByteMs: firstByteAt - startedAt },
    code: status >= 400 ? (JSON.parse(text) as { error: { code: string } }).error.code : "",
    admissionMs: Number(admission),
    remainingUsd: remaining === undefined ? null : Number(remaining),
  };
}

/** So many sockets as are needed, or at most so many, kept open between requests. */
export const newAgent = (maxSockets = Number.POSITIVE_INFINITY): Agent =>
  new Agent({ keepAlive: true, maxSockets, maxFreeSockets: MAX_FLOW_SOCKETS });

/** All at the same moment. */
export async function buyAtOnce(purchases: readonly Purchase[]): Promise<Receipt[]> {
  const agent = newAgent();
  const receipts = await Promise.all(purchases.map((purchase) => buy(agent, purchase)));
  agent.destroy();
  return receipts;
}

/** `buyers` of them, each with one purchase after another. */
export async function buyInTurns(purchases: readonly Purchase[], buyers: number): Promise<Receipt[]> {
  const agent = newAgent();
  const receipts: Receipt[] = [];
  let next = 0;
  const buyer = async (): Promise<void> => {
    for (let index = next++; index < purchases.length; index = next++)
      receipts.push(await buy(agent, purchases[index]!));
  };
  await Promise.all(Array.from({ length: buyers }, buyer));
  agent.destroy();
  return receipts;
}

export interface Flow {
  readonly receipts: readonly Receipt[];
  /** How much later than planned each left, milliseconds. */
  readonly lateMs: readonly number[];
  /** Of requests that were sent. */
  readonly count: () => number;
  /** Sends nothing more and waits for what is under way. */
  stop(): Promise<void>;
}

const TICK_MS = 2;

/** Open loop: requests leave when their time has come, at most `most` of them. */
export function startFlow(perSecond: number, purchaseOf: (index: number) => Purchase, most = Infinity): Flow {
  const agent = newAgent(MAX_FLOW_SOCKETS);
  const receipts: Receipt[] = [];
  const lateMs: number[] = [];
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();
  let index = 0;
  const fire = (): void => {
    const passedMs = performance.now() - startedAt;
    for (; index < most && (index * 1_000) / perSecond <= passedMs; index++) {
      lateMs.push(passedMs - (index * 1_000) / perSecond);
      const done: Promise<void> = buy(agent, purchaseOf(index)).then((receipt) => {
        receipts.push(receipt);
        underWay.delete(done);
      });
      underWay.add(done);
    }
  };
  const timer = setInterval(fire, TICK_MS);
  return {
    ...{ receipts, lateMs, count: () => index },
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
      agent.destroy();
    },
  };
}
