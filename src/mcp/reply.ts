import type { ServerResponse } from "node:http";
import { ERRORS, type GatewayError } from "../core/errors.ts";

/** JSON-RPC's own codes for a message that never reached a method (JSON-RPC 2.0 §5.1). */
export const PARSE_ERROR = -32700;
export const INVALID_REQUEST = -32600;

interface RpcFailure {
  readonly status: number;
  readonly rpcCode: number;
  readonly message: string;
  readonly data?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A JSON-RPC error without an id: the message was refused before its id could be trusted. */
export function rpcFailure(failure: RpcFailure): Response {
  const { status, rpcCode, message, data, headers } = failure;
  const error = { code: rpcCode, message, ...(data === undefined ? {} : { data }) };
  return Response.json({ jsonrpc: "2.0", id: null, error }, { status, ...(headers && { headers }) });
}

/** A refusal of the gateway as the endpoint answers it: HTTP status, and the same in JSON-RPC terms. */
export function renderGatewayError(error: GatewayError, requestId: string): Response {
  const headers: Record<string, string> = { ...error.headers };
  // RFC 6750 §3: a 401 says how to authenticate.
  if (error.status === 401) headers["www-authenticate"] ??= 'Bearer realm="bifrost"';
  return rpcFailure({
    status: error.status,
    rpcCode: ERRORS[error.code].rpc,
    message: error.publicMessage,
    data: { code: error.code, request_id: requestId },
    headers,
  });
}

/** Writes a whole, already built response. `close` also ends the connection, for when the request was not read to its end. */
export async function sendWhole(response: ServerResponse, reply: Response, close: boolean): Promise<void> {
  for (const [name, value] of reply.headers) response.setHeader(name, value);
  if (close) response.setHeader("connection", "close");
  const body = await reply.text();
  response.writeHead(reply.status, { "content-length": Buffer.byteLength(body) });
  response.end(body);
}
