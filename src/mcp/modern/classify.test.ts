import type { IncomingHttpHeaders } from "node:http";
import { classifyInboundRequest } from "@modelcontextprotocol/server";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readMessage } from "../../jsonrpc/message.ts";
import { META } from "../../mcp-links/eras/envelope.ts";
import { classify } from "./classify.ts";

const REVISION = "2026-07-28";
const headersOf = (version?: string, method?: string, name?: string): IncomingHttpHeaders => ({
  ...(version !== undefined && { "mcp-protocol-version": version }),
  ...(method !== undefined && { "mcp-method": method }),
  ...(name !== undefined && { "mcp-name": name }),
});
const ours = (headers: IncomingHttpHeaders, body: unknown) => classify(headers, readMessage(JSON.stringify(body)));
const codeOf = (found: ReturnType<typeof classify>) =>
  found.kind === "refused" && "error" in found.reply
    ? (JSON.parse(found.reply.error) as { code: number; data?: unknown })
    : null;

const envelope = { [META.protocolVersion]: REVISION, [META.clientCapabilities]: {} };
const call = (params: Record<string, unknown>, method = "tools/call") => ({ jsonrpc: "2.0", id: 1, method, params });

describe("the era of a POST", () => {
  const versions = fc.constantFrom(undefined, REVISION, "2025-11-25", "2025-03-26", "v999.0.0", "2027-01-01", "");
  const wild = fc.constantFrom(null, 5, "x", [], {}, { form: {} }, { listChanged: "yes" }, { tools: 1 });
  const metas = fc.option(
    fc.record(
      {
        [META.protocolVersion]: fc.constantFrom<unknown>(REVISION, "2025-11-25", "v999.0.0", 7, null),
        [META.clientCapabilities]: fc.oneof(
          fc.record(
            { elicitation: wild, sampling: wild, roots: wild, experimental: wild, extensions: wild, tasks: wild },
            { requiredKeys: [] },
          ),
          wild,
        ),
        [META.clientInfo]: fc.oneof(
          wild,
          fc.record(
            {
              name: fc.constantFrom<unknown>("n", 1),
              version: fc.constantFrom<unknown>("1", 1),
              title: wild,
              icons: wild,
            },
            { requiredKeys: ["name", "version"] },
          ),
        ),
        [META.logLevel]: fc.constantFrom<unknown>("debug", "emergency", "loud", 1),
        progressToken: fc.constantFrom<unknown>("t", 0, 1.5, null, {}),
      },
      { requiredKeys: [] },
    ),
    { nil: undefined },
  );

  it("is what the official SDK says, for any headers and envelope", () => {
    fc.assert(
      fc.property(
        versions,
        fc.constantFrom(undefined, "tools/list", "ping", " tools/list ", "TOOLS/LIST"),
        fc.constantFrom("tools/list", "initialize", "notifications/x"),
        fc.boolean(),
        metas,
        (version, methodHeader, method, isRequest, meta) => {
          const body = {
            jsonrpc: "2.0",
            ...(isRequest && { id: 0 }),
            method,
            ...(meta && { params: { _meta: meta } }),
          };
          const theirs = classifyInboundRequest({
            httpMethod: "POST",
            body,
            ...(version !== undefined && { protocolVersionHeader: version }),
            ...(methodHeader !== undefined && { mcpMethodHeader: methodHeader }),
          });
          // Node takes white space off header values before anybody sees them.
          const found = ours(headersOf(version, methodHeader?.trim()), body);
          const refusal = codeOf(found);
          if (theirs.kind === "legacy") expect(found.kind).toBe("legacy");
          else if (theirs.kind === "reject") {
            // What is malformed but names no era is the 2025 adapter's to refuse.
            if (found.kind === "legacy") expect(theirs.code).toBe(-32600);
            else expect(refusal?.code).toBe(theirs.code);
          } else if (theirs.classification.revision !== REVISION) expect(refusal?.code).toBe(-32022);
          else if (isRequest && (version === undefined || methodHeader === undefined))
            expect(refusal?.code).toBe(-32020);
          else expect(found.kind).toBe(isRequest ? "request" : "notification");
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it("is no matter of escapes: a name that is written with them counts the same", () => {
    const text = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"\\u005fmeta":{"\\u0069o.modelcontextprotocol/protocolVersion":"2026-07-28","${META.clientCapabilities}":{}}}}`;
    expect(classify(headersOf(REVISION, "tools/list"), readMessage(text)).kind).toBe("request");
  });

  it("of a response is the 2025 one: this era has none to post", () => {
    expect(ours(headersOf(REVISION), { jsonrpc: "2.0", id: 1, result: {} }).kind).toBe("legacy");
  });
});

describe("Mcp-Name", () => {
  const encoded = (name: string) => `=?base64?${Buffer.from(name).toString("base64")}?=`;
  const classified = (name: string | undefined, header: string | undefined, method = "tools/call") => {
    const found = ours(
      headersOf(REVISION, method, header),
      call({ ...(name !== undefined && { name }), _meta: envelope }, method),
    );
    return codeOf(found)?.code ?? found.kind;
  };

  it.each([
    ["repeats the name", "echo", "echo", "request"],
    ["is required where the body has a name", "echo", undefined, -32020],
    ["may not be another", "echo", "Echo", -32020],
    ["comes in Base64 where it is not ASCII", "écho\u{1F600}", encoded("écho\u{1F600}"), "request"],
    ["may come in Base64 where it is ASCII", "echo", encoded("echo"), "request"],
    ["without padding is malformed", "Hello", "=?base64?SGVsbG8?=", -32020],
    ["with strange characters is malformed", "Hello", "=?base64?SGVs!!!bG8=?=", -32020],
    ["that is no UTF-8 is malformed", "Hello", "=?base64?/w==?=", -32020],
    ["without the closing mark is literal", "=?base64?SGVsbG8=", "=?base64?SGVsbG8=", "request"],
    ["is not missed where the body has no name", undefined, undefined, "request"],
  ])("%s", (_case, name, header, expected) => {
    expect(classified(name, header)).toBe(expected);
  });

  it("is not looked at where the method names nothing", () => {
    expect(classified("echo", "other", "tools/list")).toBe("request");
  });
});

describe("a refusal", () => {
  it("of a revision lists what is spoken and repeats what was asked", () => {
    const meta = { ...envelope, [META.protocolVersion]: "v999.0.0" };
    expect(codeOf(ours(headersOf("v999.0.0", "tools/list"), call({ _meta: meta }, "tools/list")))).toMatchObject({
      code: -32022,
      data: { supported: [REVISION], requested: "v999.0.0" },
    });
  });

  it("of a missing envelope names the keys", () => {
    expect(codeOf(ours(headersOf(REVISION, "tools/list"), call({}, "tools/list")))?.data).toEqual({
      envelope: { missing: ["_meta"] },
    });
    const noCapabilities = { [META.protocolVersion]: REVISION };
    expect(
      codeOf(ours(headersOf(REVISION, "tools/list"), call({ _meta: noCapabilities }, "tools/list"))),
    ).toMatchObject({
      code: -32602,
      data: { envelope: { key: META.clientCapabilities, problem: "missing" } },
    });
  });
});
