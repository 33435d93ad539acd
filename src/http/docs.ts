import type { RequestListener } from "node:http";
import fastify from "fastify";

/** Whether a request is for the API's description. */
export function isDocsTarget(url: string): boolean {
  return /^\/docs(?:[/?]|$)/.test(url);
}

/**
 * `/docs` (the page), `/docs/openapi.json` and `/docs/openapi.yaml`. Built when first asked for: the page's
 * packages and the document cost memory that a gateway whose documentation nobody reads need not spend.
 */
export function createDocsListener(describe: () => Record<string, unknown>): {
  listener: RequestListener;
  close(): Promise<void>;
} {
  let app: ReturnType<typeof build> | null = null;
  return {
    listener(req, res) {
      app ??= build(describe());
      app.then(
        (docs) => docs.routing(req, res),
        () => res.destroy(),
      );
    },
    close: async () => (await app)?.close(),
  };
}

async function build(openapi: Record<string, unknown>) {
  const [{ default: swagger }, { default: swaggerUi }] = await Promise.all([
    import("@fastify/swagger"),
    import("@fastify/swagger-ui"),
  ]);
  const app = fastify({ logger: false });
  await app.register(swagger, { mode: "static", specification: { document: openapi as never } });
  await app.register(swaggerUi, { routePrefix: "/docs", staticCSP: true });
  app.get("/docs/openapi.json", (_request, reply) => reply.send(openapi));
  app.get("/docs/openapi.yaml", (_request, reply) =>
    reply.type("application/yaml; charset=utf-8").send(app.swagger({ yaml: true })),
  );
  await app.ready();
  return app;
}
