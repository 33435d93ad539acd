import { describe, expect, it } from "vitest";
import { toolArguments } from "./tool-arguments.ts";

describe("the arguments of a tool call", () => {
  it("are texts after =, and JSON as it was typed after :=", () => {
    expect(toolArguments(undefined, ["a=1", "b:=12345678901234567890", 'c:=["x"]', "d=", "e=x=y", "f=a:=b"])).toBe(
      '{"a":"1","b":12345678901234567890,"c":["x"],"d":"","e":"x=y","f":"a:=b"}',
    );
    expect(toolArguments(undefined, [])).toBe("{}");
  });

  it("change an object of --args where they name a member of it, and leave the rest as it was typed", () => {
    expect(toolArguments('{"a": 1.50, "b": 2}', ["b:=3", "c=x"])).toBe('{"a": 1.50,"b": 3,"c":"x"}');
  });

  it.each([
    [undefined, "noequals"],
    [undefined, "=x"],
    [undefined, "secret:=hunter2"],
    ["[1]", "a=1"],
    ["{", "a=1"],
  ])("refuse what cannot be read, without quoting its value: %j %j", (whole, pair) => {
    expect(() => toolArguments(whole, [pair])).toThrow(/^(?!.*hunter2)/);
  });
});
