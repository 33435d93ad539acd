import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readMessage } from "../../jsonrpc/message.ts";
import { readPlainResult } from "./read-response.ts";

describe("readPlainResult", () => {
  it("reads both usual spellings as the general reader does", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(), (value, id) => {
        const result = JSON.stringify(value);
        for (const line of [
          `{"jsonrpc":"2.0","id":${id},"result":${result}}`,
          `{"result":${result},"jsonrpc":"2.0","id":${id}}`,
        ]) {
          expect(readPlainResult(line)).toEqual({ id, result });
          expect(readMessage(line)).toEqual({ kind: "result", id: String(id), result });
        }
      }),
    );
  });

  it.each([
    ["a second result", '{"jsonrpc":"2.0","id":1,"result":{"a":1},"result":{"b":2}}'],
    ["a member after the result", '{"jsonrpc":"2.0","id":1,"result":{"a":1},"id":2}'],
    ["a member before the end", '{"result":{"a":1},"x":{},"jsonrpc":"2.0","id":1}'],
    ["a result that is no object", '{"jsonrpc":"2.0","id":1,"result":[1]}'],
    ["a result that is not JSON", '{"jsonrpc":"2.0","id":1,"result":{"a":}}'],
    ["a result that is cut", '{"jsonrpc":"2.0","id":1,"result":{"a":1}'],
    ["two messages", '{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":2,"result":{}}'],
    ["an id of letters", '{"jsonrpc":"2.0","id":"1","result":{}}'],
    ["an id that is not JSON", '{"jsonrpc":"2.0","id":01,"result":{}}'],
    ["an id inside the result only", '{"result":{"x":1,"jsonrpc":"2.0","id":1}}'],
    ["an error", '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}'],
  ])("leaves %s to the general reader", (_, line) => {
    expect(readPlainResult(line)).toBeNull();
  });

  it("gives nothing that is not one whole JSON object, whatever the line is", () => {
    const piece = fc.constantFrom(
      '{"jsonrpc":"2.0","id":1,"result":',
      '{"result":',
      "{",
      "}",
      ',"jsonrpc":"2.0","id":1}',
      '"a":1',
      ",",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const plain = readPlainResult(pieces.join(""));
        if (plain === null) return;
        expect(JSON.parse(plain.result)).toBeTypeOf("object");
        expect(readMessage(pieces.join(""))).toEqual({ kind: "result", id: String(plain.id), result: plain.result });
      }),
    );
  });
});
