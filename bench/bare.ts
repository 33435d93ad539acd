// What the runtime allows: a reverse proxy of a few lines on node:http and undici's `dispatch`, and nothing else.
// Streams both ways with back-pressure; no authentication, limits, checks, timeouts of its own or logging.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool, type Dispatcher } from "undici";

const [target = "", port = ""] = process.argv.slice(2);
const pool = new Pool(target, { connections: 1024 });
const HOP_BY_HOP = new Set(["connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]);

createServer(function forward(request, response) {
  const headers: string[] = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i] ?? "";
    if (!HOP_BY_HOP.has(name.toLowerCase())) headers.push(name, request.rawHeaders[i + 1] ?? "");
  }
  const hasBody = request.method !== "GET" && request.method !== "HEAD";
  pool.dispatch(
    { path: request.url ?? "/", method: request.method ?? "GET", headers, body: hasBody ? request : null },
    relay(request, response),
  );
}).listen(Number(port), "127.0.0.1");

function relay(request: IncomingMessage, response: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller) {
      response.on("close", () => {
        if (!response.writableFinished) controller.abort(new Error("client left"));
      });
    },
    onResponseStart(_controller, status, headers) {
      for (const name of HOP_BY_HOP) delete headers[name];
      response.writeHead(status, headers);
    },
    onResponseData(controller, chunk) {
      if (response.write(chunk)) return;
      controller.pause();
      response.once("drain", () => controller.resume());
    },
    onResponseEnd() {
      response.end();
    },
    onResponseError() {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
      request.resume();
    },
  };
}
