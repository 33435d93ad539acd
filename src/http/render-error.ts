import { type ServerResponse, STATUS_CODES } from "node:http";
import type { GatewayError } from "../core/errors.ts";

/** The one error body of the gateway, over HTTP. `detail` and `cause` stay out of it on purpose. */
export function renderHttpError(
  error: GatewayError,
  requestId: string,
): { status: number; headers: Record<string, string>; body: string } {
  const body = JSON.stringify({
    error: error.publicMessage,
    code: error.code,
    request_id: requestId,
    ...(error.fields.length > 0 ? { fields: error.fields } : {}),
  });
  return {
    status: error.status,
    headers: {
      ...error.headers,
      ...(error.status === 401 && !("www-authenticate" in error.headers)
        ? { "www-authenticate": 'Bearer realm="bifrost"' }
        : {}),
      "content-type": "application/json; charset=utf-8",
      "content-length": String(Buffer.byteLength(body)),
      "cache-control": "no-store",
      "x-request-id": requestId,
    },
    body,
  };
}

/** Sends an error reply on a plain response. Where the head is already out, cuts the connection instead: a truncated body must not look whole. */
export function sendHttpError(res: ServerResponse, error: GatewayError, requestId: string): void {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const { status, headers, body } = renderHttpError(error, requestId);
  // With its reason phrase: a response that failed while its head was made would keep the upstream's.
  res.writeHead(status, STATUS_CODES[status] ?? "", headers);
  res.end(res.req.method === "HEAD" ? undefined : body);
}
