import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, start, type Running } from "./processes.ts";
import { CHEAP_BODY } from "./wire.ts";

/** The cheap upstream: nginx answering by itself. */
export async function startCheapUpstream(nginx: string, folder: string, core: number | undefined): Promise<Running> {
  const port = await freePort();
  const location = `default_type application/json; return 200 '${CHEAP_BODY}';`;
  return startNginx(nginx, join(folder, "nginx-cheap"), port, core, "", location);
}

/** nginx as a plain reverse proxy: one worker, upstream keep-alive, no access log. */
export async function startNginxProxy(
  nginx: string,
  folder: string,
  core: number | undefined,
  upstreamPort: number,
): Promise<Running> {
  const port = await freePort();
  const upstream = `upstream target {
    server 127.0.0.1:${upstreamPort};
    keepalive 1024;
    keepalive_requests 100000000;
  }`;
  const location = `proxy_pass http://target; proxy_http_version 1.1; proxy_set_header Connection "";`;
  return startNginx(nginx, join(folder, `nginx-proxy-${upstreamPort}`), port, core, upstream, location);
}

function startNginx(
  nginx: string,
  folder: string,
  port: number,
  core: number | undefined,
  upstream: string,
  location: string,
): Promise<Running> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "nginx.conf");
  writeFileSync(file, configuration(folder, port, upstream, location));
  return start([nginx, "-e", "stderr", "-c", file], { core, port, worksInChild: true });
}

function configuration(folder: string, port: number, upstream: string, location: string): string {
  // Debian's own "user" cannot write below a private temporary folder when root runs the bench.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${join(folder, name)};`)
    .join(" ");
  return `${user}
worker_processes 1;
daemon off;
pid ${join(folder, "nginx.pid")};
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  ${temporary}
  ${upstream}
  server {
    listen 127.0.0.1:${port};
    location / { ${location} }
  }
}
`;
}
