/**
 * A proxy gateway in a process of its own, so that a test can watch its memory. Told the upstream's origin as
 * argument; prints one line of JSON, then answers each line on standard input with its resident set size in bytes.
 */
import { createInterface } from "node:readline";
import { startProxyGateway } from "./proxy-gateway.ts";

const origin = process.argv[2] ?? "";
const gateway = await startProxyGateway();
const { secret } = await gateway.key(await gateway.service(origin));
console.log(JSON.stringify({ url: gateway.url, secret }));
const lines = createInterface(process.stdin);
lines.on("line", () => console.log(String(process.memoryUsage.rss())));
lines.on("close", () => process.exit(0));
