import { describe, expect, it } from "vitest";
import { ERRORS, type ErrorCode, GatewayError } from "../core/errors.ts";
import { refusalOf } from "./refusals.ts";

const logged: unknown[] = [];
const log = { error: (...line: unknown[]) => void logged.push(line) };
const answer = (thrown: unknown, method = "tools/call") => {
  const { reply, status, headers } = refusalOf(thrown, { method, requestId: "req_1", log });
  const body = JSON.parse("result" in reply ? reply.result : reply.error) as Record<string, unknown>;
  return { kind: "result" in reply ? "result" : "error", body, status, headers };
};
const codes = Object.keys(ERRORS) as ErrorCode[];

describe("a refused tools/call", () => {
  it.each(["mcp.arguments_not_allowed", "mcp.call_limit", "mcp.circuit_open", "limit.rate", "key.scope"] as const)(
    "is a result that the model reads, with what to do: %s",
    (code) => {
      const { kind, body, status } = answer(new GatewayError(code, { detail: "redis://10.0.0.7" }));
      expect({ kind, status }).toEqual({ kind: "result", status: 200 });
      expect(body).toMatchObject({ isError: true, content: [{ type: "text" }] });
      expect(JSON.stringify(body)).toContain(JSON.stringify(ERRORS[code].remedy).slice(1, -1));
      expect(JSON.stringify(body)).not.toContain("redis");
    },
  );

  it("is -32602 where the tool is not there for the caller, or its arguments are no good", () => {
    expect(answer(new GatewayError("mcp.tool_not_allowed"))).toMatchObject({
      kind: "error",
      status: 200,
      body: { code: -32602, data: { code: "mcp.tool_not_allowed", request_id: "req_1" } },
    });
    const fields = [{ path: "ttl_seconds", message: "must be at most 600" }];
    expect(answer(new GatewayError("ceiling.exceeded", { fields }))).toMatchObject({
      kind: "error",
      body: {
        code: -32602,
        message: "Invalid arguments: ttl_seconds: must be at most 600",
        data: { arguments: [{ argument: "ttl_seconds" }] },
      },
    });
  });

  it("that an upstream or the gateway failed at is an error with a stable code", () => {
    expect(answer(new GatewayError("upstream.timeout"))).toMatchObject({
      kind: "error",
      status: 200,
      body: { code: ERRORS["upstream.timeout"].rpc, data: { code: "upstream.timeout" } },
    });
    expect(answer(new Error("SQLITE_CORRUPT"))).toMatchObject({
      kind: "error",
      body: { code: -32603, message: "internal error", data: { code: "internal", request_id: "req_1" } },
    });
    expect(logged).toHaveLength(1);
  });
});

describe("any other refused request", () => {
  it.each(codes)("is a JSON-RPC error with the code of the table: %s", (code) => {
    const { kind, body } = answer(new GatewayError(code), "prompts/get");
    expect(kind).toBe("error");
    expect(body).toEqual({
      code: ERRORS[code].rpc,
      message: ERRORS[code].title,
      data: { code, request_id: "req_1" },
    });
  });

  it("keeps HTTP 200 unless no request could pass: credential, path, shutdown", () => {
    const others = codes.filter((code) => answer(new GatewayError(code), "prompts/get").status !== 200);
    expect(others.filter((code) => ERRORS[code].status !== 401)).toEqual([
      "mcp.server_not_found",
      "mcp.session_not_found",
      "mcp.sessions_exhausted",
      "gateway.draining",
    ]);
    expect(answer(new GatewayError("key.revoked"))).toMatchObject({
      kind: "error",
      status: 401,
      headers: { "www-authenticate": 'Bearer realm="bifrost"' },
    });
  });
});
