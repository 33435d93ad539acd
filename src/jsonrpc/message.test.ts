import { describe, expect, it } from "vitest";
import { NotAMessage, notificationText, readMessage, requestText, responseText } from "./message.ts";

describe("readMessage", () => {
  it.each([["0"], ['"0"'], ["-7"], ["1.0"], ['"a\\u0000b"'], ["9007199254740993"]])(
    "keeps the id %s as it was sent, through a request and its answer",
    (id) => {
      const request = readMessage(requestText(id, "tools/call", '{"n":12345678901234567890}'));
      expect(request).toEqual({ kind: "request", id, method: "tools/call", params: '{"n":12345678901234567890}' });
      expect(readMessage(responseText(id, { result: "{}" }))).toEqual({ kind: "result", id, result: "{}" });
    },
  );

  it("tells notifications, results and errors apart", () => {
    expect(readMessage(notificationText("notifications/initialized", undefined)).kind).toBe("notification");
    expect(readMessage('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}')).toEqual({
      kind: "error",
      id: null,
      error: '{"code":-32700,"message":"x"}',
    });
  });

  it.each([
    ["[]"],
    ["null"],
    ['{"id":1,"method":"a"}'],
    ['{"jsonrpc":"2.1","id":1,"method":"a"}'],
    ['{"jsonrpc":"2.0"}'],
    ['{"jsonrpc":"2.0","id":null,"method":"a"}'],
    ['{"jsonrpc":"2.0","id":{},"method":"a"}'],
    ['{"jsonrpc":"2.0","id":1.5,"method":"a"}'],
    ['{"jsonrpc":"2.0","id":1,"method":2}'],
    ['{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}'],
    ['{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}'],
    ['{"jsonrpc":"2.0","result":{}}'],
    ['{"jsonrpc":"2.0","id":1,"result":3}'],
    ['{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":""}}'],
  ])("refuses %s", (text) => {
    expect(() => readMessage(text)).toThrow(NotAMessage);
  });
});
