import { errors } from "undici";
import { type ErrorCode, GatewayError } from "./errors.ts";

/** Codes of Node's sockets and of undici, by what they mean to a client. */
const BY_CODE: Readonly<Record<string, ErrorCode>> = {
  ENOTFOUND: "upstream.dns",
  EAI_AGAIN: "upstream.dns",
  EAI_FAIL: "upstream.dns",
  ECONNREFUSED: "upstream.unreachable",
  EHOSTUNREACH: "upstream.unreachable",
  ENETUNREACH: "upstream.unreachable",
  EADDRNOTAVAIL: "upstream.unreachable",
  ECONNRESET: "upstream.reset",
  EPIPE: "upstream.reset",
  UND_ERR_SOCKET: "upstream.reset",
  ETIMEDOUT: "upstream.timeout_connect",
  UND_ERR_CONNECT_TIMEOUT: "upstream.timeout_connect",
  UND_ERR_HEADERS_TIMEOUT: "upstream.timeout",
  UND_ERR_BODY_TIMEOUT: "upstream.timeout",
  UND_ERR_HEADERS_OVERFLOW: "upstream.protocol",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "upstream.protocol",
  // Our side: the client's body was not as long as it said.
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "request.invalid",
};

/** The one place where a failed exchange with an upstream becomes a code. The upstream's own words go to the log only. */
export function toUpstreamError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  // Several addresses were tried and all failed: any one of them tells.
  if (error instanceof AggregateError && error.errors.length > 0) return toUpstreamError(error.errors[0]);
  if (error.cause instanceof GatewayError) return error.cause;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return new GatewayError(codeFor(code, error), { detail: `upstream: ${reasonOf(code, error)}`, cause: error });
}

/** Looking up and connecting: Node's own words, which name the address. */
function reasonOf(code: string, error: Error): string {
  const isOwn = "syscall" in error && (error.syscall === "connect" || error.syscall === "getaddrinfo");
  return isOwn ? error.message : code || error.name;
}

function codeFor(code: string, error: Error): ErrorCode {
  const known = BY_CODE[code];
  if (known) return known;
  if (error instanceof errors.HTTPParserError || code.startsWith("HPE_")) return "upstream.protocol";
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|EPROTO|HOSTNAME_MISMATCH)/.test(code))
    return "upstream.tls";
  // Also what Node refuses to pass on to the client, such as a header that no message may have.
  if (code.startsWith("ERR_HTTP") || code.startsWith("NGHTTP2")) return "upstream.protocol";
  return "upstream.unreachable";
}
