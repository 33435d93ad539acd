import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { envelopeText, forInitializedServer, forStatelessServer, META, withoutSubscriptionId } from "./envelope.ts";

const ENVELOPE = [META.protocolVersion, META.clientInfo, META.clientCapabilities, META.logLevel];
const text = envelopeText({ info: null, capabilities: '{"roots":{}}' }, '{"name":"g","version":"1"}', undefined);
const full: Record<string, unknown> = JSON.parse(`{${text}}`);

/** Params as clients send them: any members, perhaps `_meta`, perhaps with a token and parts of an envelope. */
const meta = fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("progressToken", ...ENVELOPE)), fc.jsonValue());
const params = fc
  .record({ rest: fc.dictionary(fc.string(), fc.jsonValue()), meta: fc.option(meta, { nil: undefined }) })
  .map(({ rest, meta: own }) => ({ ...rest, ...(own && { _meta: own }) }));
const printed = fc
  .tuple(params, fc.constantFrom(0, 1, "\t"))
  .map(([value, indent]) => JSON.stringify(value, null, indent));

const read = (json: string | undefined) => JSON.parse(json ?? "{}") as Record<string, unknown> & { _meta?: object };
const without = (value: object, names: readonly string[]) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));

describe("params", () => {
  it("lose their envelope towards a 2025 server, and nothing else", () => {
    fc.assert(
      fc.property(printed, (json) => {
        const before = read(json);
        const after = read(forInitializedServer(json, 7).params);
        expect(without(after, ["_meta"])).toEqual(without(before, ["_meta"]));
        const kept = without(before._meta ?? {}, ENVELOPE);
        expect(after._meta ?? {}).toEqual({ ...kept, ...("progressToken" in kept && { progressToken: 7 }) });
      }),
    );
  });

  it("have the whole envelope towards a 2026 server, whatever a 2025 client had there, and all else as before", () => {
    fc.assert(
      fc.property(printed, (json) => {
        const before = read(json);
        const after = read(forStatelessServer(json, 7, text, false).params);
        expect(without(after, ["_meta"])).toEqual(without(before, ["_meta"]));
        const kept = without(before._meta ?? {}, ENVELOPE);
        expect(after._meta).toEqual({ ...kept, ...("progressToken" in kept && { progressToken: 7 }), ...full });
      }),
    );
  });

  it("keep the envelope of a 2026 client as it was written", () => {
    const json = `{ "_meta" : { "${META.protocolVersion}" : "2026-07-28", "progressToken": "t" } }`;
    expect(forStatelessServer(json, 7, text, true)).toEqual({
      params: `{"_meta" : {"${META.protocolVersion}" : "2026-07-28","progressToken": 7}}`,
      token: '"t"',
      logLevel: undefined,
    });
  });
});

it("takes the subscription's id out of a notification, and `_meta` where nothing else was in it", () => {
  expect(withoutSubscriptionId(`{"uri":"a","_meta":{"${META.subscriptionId}":1}}`)).toBe('{"uri":"a"}');
  expect(withoutSubscriptionId(`{"_meta":{"k":1.0,"${META.subscriptionId}":"1"}}`)).toBe('{"_meta":{"k":1.0}}');
  expect(withoutSubscriptionId('{"text":"_meta"}')).toBe('{"text":"_meta"}');
  expect(withoutSubscriptionId(undefined)).toBeUndefined();
});
