import fc from "fast-check";
import { expect, it } from "vitest";
import { createRedactor } from "./redactor.ts";
import { PREVIEW_BYTES, rpcRecord, type RpcMessage } from "./rpc-record.ts";

const AT = "2026-11-21T03:00:00.000Z";

function record(payload: string | null, more: Partial<RpcMessage> = {}, ...secrets: string[]) {
  const redactor = createRedactor();
  for (const secret of secrets) redactor.keep(secret);
  const message: RpcMessage = {
    event: "rpc_response",
    direction: "IN",
    server: "github",
    method: "tools/call",
    tool: null,
    error: null,
    payload: payload === null ? null : { part: "result", text: payload },
    ...more,
  };
  const line = rpcRecord(message, AT, redactor);
  expect(line).not.toMatch(/[\r\n]/);
  return JSON.parse(line) as Record<string, unknown> & { payload?: { result: unknown } };
}

it("a message is told with what the reference tells of it", () => {
  expect(record('{"a": 1}', { tool: "get_issue", error: "upstream.timeout" })).toEqual({
    timestamp: AT,
    event: "rpc_response",
    _schema: "rpc-message/v2",
    direction: "IN",
    server_id: "github",
    method: "tools/call",
    tool_name: "get_issue",
    error: "upstream.timeout",
    payload: { result: { a: 1 } },
  });
  expect(record(null)).not.toHaveProperty("payload");
});

it("a payload on several lines is one line, and the same JSON", () => {
  const value = { text: "line\nbreak", list: [1, 2] };
  expect(record(JSON.stringify(value, null, 2)).payload?.result).toEqual(value);
});

it("a long payload is shown as text of at most 10 KB", () => {
  const { payload } = record(JSON.stringify({ text: "é€😀".repeat(5_000) }));
  const shown = payload?.result as { _truncated: boolean; _preview: string };
  expect(shown).toMatchObject({ _truncated: true, _length: expect.any(Number) });
  expect(Buffer.byteLength(shown._preview)).toBeLessThanOrEqual(PREVIEW_BYTES);
  expect(Buffer.byteLength(shown._preview)).toBeGreaterThan(PREVIEW_BYTES - 8);
  expect(shown._preview).not.toContain("\ufffd");
});

it("a secret that stood for a number, or for JSON itself, leaves a line that is JSON", () => {
  const digits = record('{"pin":1234567890}', {}, "1234567890");
  expect(digits.payload?.result).toMatchObject({ _truncated: false, _preview: '{"pin":[REDACTED]}' });
  const structure = record('{"a":"b","c":"d"}', {}, '"b","c":');
  expect(JSON.stringify(structure)).not.toContain('"b\\",');
});

it("whatever the payload and the secrets, the record is one line of JSON", () => {
  const secret = fc.oneof(
    fc.string({ minLength: 8, maxLength: 12 }),
    fc.constantFrom('":"bbbb"', "\\u0000aa", "12345678"),
  );
  fc.assert(
    fc.property(fc.json(), secret, fc.string(), (text, hidden, method) => {
      expect(record(text, { method }, hidden)).toHaveProperty("payload.result");
    }),
  );
});
