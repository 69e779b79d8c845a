/** What workerd's crypto and bytes have and Node's of today lack, for unit tests of code that hashes. */
import { timingSafeEqual } from "node:crypto";

/** For the whole process, and so for the files that run in it afterwards. */
export function provideWorkerdCrypto(): void {
  Object.defineProperty(Object.getPrototypeOf(crypto.subtle), "timingSafeEqual", {
    value: (left: Uint8Array, right: Uint8Array) => timingSafeEqual(left, right),
    configurable: true,
  });
  if ("toHex" in Uint8Array.prototype) return;
  Object.defineProperty(Uint8Array.prototype, "toHex", {
    value(this: Uint8Array) {
      return Buffer.from(this).toString("hex");
    },
    configurable: true,
  });
}
