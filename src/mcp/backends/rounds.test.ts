import { describe, expect, it } from "vitest";
import { createRounds } from "./rounds.ts";

const ASKS = { result: '{"resultType":"input_required","requestState":"s1","inputRequests":{}}' };

describe("further rounds of a call", () => {
  it("are those with a state that the server gave, once each", () => {
    const rounds = createRounds();
    rounds.note("owner tool", undefined, ASKS);
    expect(rounds.isFurther("owner tool", '{"name":"t","requestState":"s1"}')).toBe(true);
    expect(rounds.isFurther("owner tool", '{"name":"t","requestState":"s1"}')).toBe(false);
  });

  it("are nobody else's, and no other tool's", () => {
    const rounds = createRounds();
    rounds.note("owner tool", undefined, ASKS);
    expect(rounds.isFurther("thief tool", '{"requestState":"s1"}')).toBe(false);
    expect(rounds.isFurther("owner other", '{"requestState":"s1"}')).toBe(false);
  });

  it("are not made by a state of the client's own, nor by a result that only looks like a question", () => {
    const rounds = createRounds();
    rounds.note("owner tool", undefined, { result: '{"content":[],"requestState":"s2"}' });
    rounds.note("owner tool", undefined, { error: '{"code":1,"message":"\\"requestState\\""}' });
    expect(rounds.isFurther("owner tool", '{"requestState":"s2"}')).toBe(false);
    expect(rounds.isFurther("owner tool", '{"requestState":7}')).toBe(false);
    expect(rounds.isFurther("owner tool", undefined)).toBe(false);
  });

  it("are those that answer a question about the same arguments, where the server gave no state, once each", () => {
    const rounds = createRounds();
    const asks = { result: '{"resultType":"input_required","inputRequests":{}}' };
    const answered = '{"name":"t","arguments":{"a":1},"inputResponses":{}}';
    rounds.note("owner tool", '{"name":"t","arguments":{"a":1}}', asks);
    expect(rounds.isFurther("owner tool", '{"name":"t","arguments":{"a":1}}')).toBe(false);
    expect(rounds.isFurther("owner tool", '{"name":"t","arguments":{"a":2},"inputResponses":{}}')).toBe(false);
    expect(rounds.isFurther("thief tool", answered)).toBe(false);
    expect(rounds.isFurther("owner tool", answered)).toBe(true);
    expect(rounds.isFurther("owner tool", answered)).toBe(false);
  });
});
