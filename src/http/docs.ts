import type { RequestListener } from "node:http";
import fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import { GatewayError } from "../core/errors.ts";
import { requestIdFrom } from "../core/ids.ts";
import { renderHttpError } from "./render-error.ts";

/**
 * The package's own policy upgrades requests to https, which leaves the page empty on a gateway that is
 * reached over plain http by name, and forbids the style attributes that its script sets.
 */
const PAGE_CSP =
  "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; img-src 'self' data:; " +
  "object-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'";

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
  const app = fastify({
    logger: false,
    frameworkErrors: (_error, request, reply) => void refuse(request as never, reply as never),
  });
  app.setNotFoundHandler(refuse);
  await app.register(swagger, { mode: "static", specification: { document: openapi as never } });
  await app.register(swaggerUi, {
    routePrefix: "/docs",
    staticCSP: PAGE_CSP,
    // No badge of a validator on the internet, and no bar to load other documents.
    uiConfig: { validatorUrl: null, layout: "BaseLayout" },
    theme: { title: "Bifrost management API" },
  });
  app.get("/docs/openapi.json", (_request, reply) => reply.send(openapi));
  app.get("/docs/openapi.yaml", (_request, reply) =>
    reply.type("application/yaml; charset=utf-8").send(app.swagger({ yaml: true })),
  );
  await app.ready();
  return app;
}

/** Nothing but what is registered is here; said in the form of every error. */
function refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const id = request.headers["x-request-id"];
  const requestId = requestIdFrom(Array.isArray(id) ? id[0] : id);
  const { status, headers, body } = renderHttpError(new GatewayError("request.not_found"), requestId);
  return reply.code(status).headers(headers).serializer(String).send(body);
}
