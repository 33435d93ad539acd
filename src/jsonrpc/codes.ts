/** JSON-RPC 2.0 §5.1, and the codes that MCP adds. */
export const RPC = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  /** Connection to the server closed, or another failure of the gateway's hop. */
  serverError: -32000,
  /** A session id nobody was given here. */
  sessionNotFound: -32001,
  /** No such resource (2025 era; 2026-07-28 uses invalidParams). */
  resourceNotFound: -32002,
  /** 2026-07-28: a header contradicts the body. */
  headerMismatch: -32020,
  /** 2026-07-28: the request needs a capability that the client did not declare. */
  missingClientCapability: -32021,
  /** 2026-07-28: a revision that is not spoken here. */
  unsupportedProtocolVersion: -32022,
  /** 2025-11-25: the client must visit a URL first. */
  urlElicitationRequired: -32042,
} as const;
