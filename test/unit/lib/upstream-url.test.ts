import { describe, expect, test } from "vitest";
import { upstreamUrl } from "../../../src/lib/upstream-url.ts";

describe("upstreamUrl, public reach", () => {
  test.each([
    ["https://api.openai.com/v1", "https://api.openai.com/v1"],
    ["https://api.openai.com/v1///", "https://api.openai.com/v1"],
    ["https://API.OpenAI.com", "https://api.openai.com"],
    ["https://api.openai.com:8443/v1", "https://api.openai.com:8443/v1"],
    ["https://api.openai.com./v1", "https://api.openai.com./v1"],
    ["https://api.openai.com/a/../v1", "https://api.openai.com/v1"],
    ["https://1.example-vendor.com/v1", "https://1.example-vendor.com/v1"],
  ])("%s is allowed as %s", (text, url) => {
    expect(upstreamUrl(text, "public")).toBe(url);
  });

  test.each([
    "http://api.openai.com/v1",
    "ftp://api.openai.com",
    "api.openai.com/v1",
    "",
    "https://",
    "https://user:pass@api.openai.com/v1",
    "https://user@api.openai.com/v1",
    "https://api.openai.com/v1?key=1",
    "https://api.openai.com/v1?",
    "https://api.openai.com/v1#part",
    " https://api.openai.com/v1",
    "https://api.open\nai.com/v1",
    "https://api.openai.com/v1\u0000",
    "https://2130706433/v1",
    "https://0x7f000001/v1",
    "https://0177.0.0.1/v1",
    "https://127.1/v1",
    "https://127.0.0.1./v1",
    "https://①②⑦.⓪.⓪.①/v1",
    "https://8.8.8.8/v1",
    "https://0/",
    "https://[::1]/v1",
    ...["lan", "corp", "home", "svc", "local", "intra", "workgroup", "consul", "docker", "domain"].map(
      (name) => `https://api.lab.${name}/v1`,
    ),
    ...[
      "https://10.0.0.7.nip.io/v1",
      "https://sslip.io/v1",
      "https://a.B.NIP.IO./v1",
      "https://127-0-0-1.traefik.me",
      "https://fuf.me",
      "https://a.vcap.me",
      "https://fritz.box",
    ],
    "https://[::ffff:127.0.0.1]/v1",
    "https://169.254.169.254/latest",
    "https://localhost/v1",
    "https://localhost./v1",
    "https://intranet/v1",
    "https://api.localhost/v1",
    "https://nas.local/v1",
    "https://nas.LOCAL./v1",
    "https://metadata.google.internal/v1",
    "https://a.test/v1",
    "https://a.invalid",
    "https://a.onion",
    "https://a.example",
    "https://router.home.arpa",
    "https://a..com/v1",
  ])("%j is refused", (text) => {
    expect(upstreamUrl(text, "public")).toBeNull();
  });
});

describe("upstreamUrl, any reach", () => {
  test.each([
    ["http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1"],
    ["http://localhost:8000", "http://localhost:8000"],
    ["https://[::1]:8000/v1", "https://[::1]:8000/v1"],
  ])("%s is allowed as %s", (text, url) => {
    expect(upstreamUrl(text, "any")).toBe(url);
  });

  test.each(["file:///etc/passwd", "http://user:pass@localhost/v1", "http://localhost/v1?x=1", "javascript:alert(1)"])(
    "%s is still refused",
    (text) => {
      expect(upstreamUrl(text, "any")).toBeNull();
    },
  );
});
