import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newSecret } from "../core/secret.ts";
import { createRedactor, LEARNED_MAX, REDACTED } from "./redactor.ts";
import { secretForms } from "./secret-forms.ts";

function redactorOf(...secrets: string[]) {
  const redactor = createRedactor();
  for (const secret of secrets) redactor.keep(secret);
  return redactor;
}

describe("a secret", () => {
  const SECRET = 'p"ä\\ss/w+rd <&> ok';

  it.each([
    ["as it is", SECRET],
    ["in JSON", JSON.stringify({ a: SECRET })],
    ["in JSON within JSON", JSON.stringify({ text: JSON.stringify({ a: SECRET }) })],
    ["percent-encoded", `?key=${encodeURIComponent(SECRET)}&x`],
    ["form-encoded", new URLSearchParams({ key: SECRET }).toString()],
    ["in hexadecimal", `0x${Buffer.from(SECRET).toString("hex")}`],
    ["in a Basic header", `Basic ${Buffer.from(`user:${SECRET}`).toString("base64")}`],
    ["in base64 with one byte before", Buffer.from(`u${SECRET}`).toString("base64")],
    ["in URL-safe base64", Buffer.from(`us${SECRET}end`).toString("base64url")],
    ["in JSON as Python writes it", JSON.stringify(SECRET).replace("ä", "\\u00e4")],
    [
      "in JSON as Go writes it",
      JSON.stringify(SECRET).replace(/[<>&]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`),
    ],
  ])("is taken out %s", (_, text) => {
    const redacted = redactorOf(SECRET).redact(text);
    expect(redacted).toContain(REDACTED);
    for (const form of secretForms(SECRET)) expect(redacted).not.toContain(form);
  });

  it("that begins within another is taken out with it", () => {
    const redactor = redactorOf("aaaaaaaabbbbbbbb", "bbbbbbbbcccccccc");
    expect(redactor.redact("<aaaaaaaabbbbbbbbcccccccc>")).toBe(`<${REDACTED}>`);
  });

  it("that the end of the text cuts is taken out from its beginning", () => {
    expect(redactorOf("abcdefghijklmnop").redact("x abcdefghij")).toBe(`x ${REDACTED}`);
  });

  it("shorter than eight characters is not looked for", () => {
    expect(redactorOf("true", "1234567").redact("true 1234567")).toBe("true 1234567");
  });

  it("of the gateway's own kind is known by its form, also where it is cut", () => {
    const key = newSecret("bfk");
    expect(createRedactor().redact(`key ${key}, id vk_1`)).toBe(`key ${REDACTED}, id vk_1`);
    expect(createRedactor().redact(`key ${key.slice(0, 20)}`)).toBe(`key ${REDACTED}`);
  });

  it("that was learned is forgotten only after many others", () => {
    const redactor = createRedactor();
    redactor.learn("the-first-token");
    for (let i = 0; i < LEARNED_MAX - 1; i++) redactor.learn(`another-token-${i}`);
    expect(redactor.redact("the-first-token")).toBe(REDACTED);
    redactor.learn("one-token-too-many");
    expect(redactor.redact("the-first-token")).toBe("the-first-token");
    expect(redactor.redact("one-token-too-many another-token-7")).toBe(`${REDACTED} ${REDACTED}`);
  });
});

it("what is sealed, such as a session id, is taken out", () => {
  const id = `v1.a1b2c3d4.${"n".repeat(16)}.${"c".repeat(80)}`;
  expect(createRedactor().redact(`{"session":"${id}"}`)).toBe(`{"session":"${REDACTED}"}`);
});

it("what was written as JSON strings stays JSON", () => {
  const secret = fc
    .string({ minLength: 8, maxLength: 20, unit: "grapheme" })
    .filter((text) => !/^[\s\d.,:{}[\]"-]+$/.test(text));
  fc.assert(
    fc.property(secret, fc.string(), fc.string(), (hidden, before, after) => {
      const text = JSON.stringify({ before, value: hidden, after });
      const redacted: unknown = JSON.parse(redactorOf(hidden).redact(text));
      expect(JSON.stringify(redacted)).not.toContain(JSON.stringify(hidden).slice(1, -1));
    }),
    // A secret that reads like the JSON around it is the caller's affair: see rpc-record.ts.
    { examples: [["sentinel-value", "x", "y"]], numRuns: 200, seed: 7 },
  );
});

it("no text around secrets is lost or changed, and no secret is left", () => {
  const piece = fc.oneof(
    fc.constantFrom("first-secret", "second#secret", "third\nsecret"),
    fc.stringMatching(/^[ -~]{0,12}$/),
  );
  const secrets = ["first-secret", "second#secret", "third\nsecret"];
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const text = pieces.join("|");
      const redacted = redactorOf(...secrets).redact(text);
      let expected = text;
      for (const secret of secrets) expected = expected.replaceAll(secret, REDACTED);
      expect(redacted).toBe(expected);
    }),
  );
});

it("a preview ends where it should, and shows no part of a secret that lies across its end", () => {
  fc.assert(
    fc.property(fc.nat(60), fc.nat(60), (at, length) => {
      const text = `${".".repeat(at)}the-long-secret-value${"-".repeat(80)}`;
      const head = redactorOf("the-long-secret-value").redactHead(text, length);
      const whole = text.slice(0, length).replace(/t.*/, "");
      expect(head.startsWith(whole)).toBe(true);
      expect(head.replace(REDACTED, "")).toMatch(/^[.-]*$/);
      expect(head.includes(REDACTED)).toBe(at < length);
    }),
  );
});
