import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** What the upstream saw of one request. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface PrintingUpstream {
  readonly origin: string;
  /** Everything received so far, in order. */
  readonly seen: readonly Seen[];
  close(): Promise<void>;
}

/** A small API that tells, through `print`, what it receives, and answers like a chat completion. */
export async function startPrintingUpstream(print: (line: string) => void): Promise<PrintingUpstream> {
  const seen: Seen[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      const request = {
        method: req.method ?? "",
        path: req.url ?? "",
        headers: req.headers,
        body: Buffer.concat(chunks).toString(),
      };
      seen.push(request);
      print(`${request.method} ${request.path}`);
      for (const name of ["authorization", "x-bifrost-key-id", "x-bifrost-agent-id", "x-request-id", "cookie"]) {
        const value = req.headers[name];
        if (value !== undefined) print(`  ${name}: ${String(value)}`);
      }
      if (request.body !== "") print(`  body: ${request.body}`);
      // Echoes the credential on purpose: careless debug endpoints do.
      const reply = JSON.stringify({
        choices: [{ message: { role: "assistant", content: "Hello from the upstream." } }],
        debug: req.headers.authorization,
      });
      res.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(reply) }).end(reply);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
