import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import { renderHttpError } from "../http/render-error.ts";
import { confirmStillUsable } from "../gate/confirm-still-usable.ts";
import { type Admitted, beginExchange, outboundHeadersFor, passGate } from "./handle-request.ts";
import { outboundPath } from "./inject.ts";
import { openRawRequest, rawHeadersOf } from "./raw-exchange.ts";
import { relayedHeaders } from "./response-headers.ts";
import type { Exchange, ProxyDeps } from "./types.ts";
import { toUpstreamError } from "../core/upstream-errors.ts";

/**
 * A WebSocket upgrade (RFC 6455) through the same gate as any request; the server hands over no other kind.
 * After the upstream's 101 both directions are piped as they come; the key's revocation or expiry, or
 * either side's end, ends both.
 */
export function createUpgradeHandler(deps: ProxyDeps) {
  return async function handleUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const exchange = beginExchange(req);
    // An error on a socket without listener would end the process.
    socket.on("error", () => socket.destroy());
    try {
      const admitted = await passGate(req, exchange, deps);
      await tunnel(req, socket, head, exchange, admitted, deps);
    } catch (thrown) {
      const error = toGatewayError(thrown);
      if (error.code === "internal")
        deps.log.error({ err: error.cause ?? error, requestId: exchange.requestId }, "upgrade failed");
      exchange.error = error;
      exchange.status ??= error.status;
      refuse(socket, error, exchange.requestId);
    } finally {
      deps.settled(exchange);
    }
  };
}

/** Resolves when both sides have ended. */
async function tunnel(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  exchange: Exchange,
  admitted: Admitted,
  deps: ProxyDeps,
): Promise<void> {
  const { live, target, proxyTarget, admission, plan } = admitted;
  let forget: () => void = () => undefined;
  let cancelEnd: () => void = () => undefined;
  try {
    const path = outboundPath(target, proxyTarget.path, proxyTarget.query, plan);
    const headers = await outboundHeadersFor(req, exchange, admitted, path, deps);
    await confirmStillUsable(live, deps);
    // Gone while the gate waited: no event of the socket would say so any more.
    if (socket.destroyed) return;
    const request = openRawRequest(
      { target, method: exchange.method, path, headers: [...headers, "Connection", "Upgrade", "Upgrade", "websocket"] },
      deps.upstreams,
    );
    const end = (reason: GatewayError) => request.destroy(reason);
    forget = deps.openRequests.add(live.key.uid, live.key.orgUid, end);
    // Unlike a response, a tunnel has no end of its own: it may not outlive the key.
    const { totalMs, headersMs } = target.service.settings.timeouts;
    const lifeMs = live.secretExpiresAtMs - deps.clock.now();
    cancelEnd =
      totalMs > 0 && totalMs < lifeMs
        ? schedule(totalMs, () => end(new GatewayError("upstream.timeout", { detail: "total time is up" })))
        : schedule(lifeMs, () => end(new GatewayError("key.expired")));
    await exchangeStreams({
      request,
      socket,
      head,
      exchange,
      admitted,
      headersMs,
    });
  } finally {
    cancelEnd();
    forget();
    admission.release();
  }
}

/** Node's timers overflow after 24.8 days, and keys may live longer. Returns what cancels it. */
function schedule(inMs: number, end: () => void): () => void {
  let leftMs = inMs;
  let timer: NodeJS.Timeout;
  const wait = () => {
    const stepMs = Math.max(0, Math.min(leftMs, 2 ** 31 - 1));
    leftMs -= stepMs;
    timer = setTimeout(leftMs > 0 ? wait : end, stepMs);
  };
  wait();
  return () => clearTimeout(timer);
}

interface Tunnel {
  readonly request: ReturnType<typeof openRawRequest>;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly exchange: Exchange;
  readonly admitted: Admitted;
  readonly headersMs: number;
}

function exchangeStreams({ request, socket, head, exchange, admitted, headersMs }: Tunnel): Promise<void> {
  const { target, proxyTarget, plan } = admitted;
  const rules = {
    forwardCookies: target.service.settings.forwardCookies,
    origin: target.service.origin,
    basePath: target.service.basePath,
    mount: proxyTarget.mount,
    mask: plan.mask,
  };
  return new Promise((resolve, reject) => {
    let isOpen = false;
    let upstream: Duplex | null = null;
    const finish = (error?: Error) => {
      request.destroy();
      upstream?.destroy();
      if (isOpen || error === undefined) {
        socket.destroy();
        resolve();
      } else reject(toUpstreamError(error));
    };
    if (headersMs > 0) {
      request.setTimeout(headersMs, () => {
        if (!isOpen)
          request.destroy(Object.assign(new Error("no answer to the upgrade"), { code: "UND_ERR_HEADERS_TIMEOUT" }));
      });
    }
    socket.once("close", () => finish());
    request.once("error", finish);
    request.once("upgrade", (response: IncomingMessage, upstreamSocket: Duplex, upstreamHead: Buffer) => {
      isOpen = true;
      upstream = upstreamSocket;
      exchange.status = 101;
      upstreamSocket.once("error", () => finish());
      upstreamSocket.once("close", () => finish());
      // `destroy(reason)` on the request no longer reaches the socket that was taken over.
      request.destroy = (reason?: Error) => {
        upstreamSocket.destroy(reason);
        return request;
      };
      const relayed = relayedHeaders(rawHeadersOf(response), response.headers.connection, rules);
      socket.write(
        headOf(101, [
          ...relayed,
          "Connection",
          "Upgrade",
          "Upgrade",
          response.headers.upgrade ?? "",
          "X-Request-ID",
          exchange.requestId,
        ]),
      );
      if (upstreamHead.length > 0) socket.write(upstreamHead);
      if (head.length > 0) upstreamSocket.write(head);
      upstreamSocket.pipe(socket);
      socket.pipe(upstreamSocket);
    });
    // The upstream refused: its plain answer goes to the client, and the connection ends with it.
    request.once("response", (response: IncomingMessage) => {
      isOpen = true;
      exchange.status = response.statusCode ?? 502;
      socket.write(
        headOf(exchange.status, [
          ...relayedHeaders(rawHeadersOf(response), response.headers.connection, rules),
          "Connection",
          "close",
          "X-Request-ID",
          exchange.requestId,
        ]),
      );
      response.once("error", () => finish());
      const mask = rules.mask?.stream() ?? null;
      response.on("data", (chunk: Buffer) => {
        const data = mask === null ? chunk : mask.push(chunk);
        if (data !== null && !socket.write(data)) {
          response.pause();
          socket.once("drain", () => response.resume());
        }
      });
      response.once("end", () => {
        const rest = mask?.end();
        if (rest) socket.write(rest);
        endAndClose(socket);
      });
    });
    request.end();
  });
}

/** A response head as text. Transfer-Encoding is gone from the headers: the end of the connection ends the body. */
function headOf(status: number, pairs: readonly string[]): string {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`];
  for (let i = 0; i < pairs.length; i += 2) lines.push(`${pairs[i]}: ${pairs[i + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

function refuse(socket: Duplex, error: GatewayError, requestId: string): void {
  if (socket.destroyed) return;
  const { status, headers, body } = renderHttpError(error, requestId);
  socket.write(headOf(status, [...Object.entries(headers).flat(), "connection", "close"]) + body);
  endAndClose(socket);
}

/** Not only our half: a client that keeps its own open would hold the socket, and what the request holds with it. */
function endAndClose(socket: Duplex): void {
  socket.resume();
  socket.end(() => socket.destroy());
}
