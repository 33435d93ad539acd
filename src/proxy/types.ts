import type { ClientAddressOf } from "../http/client-address.ts";
import type { AdmitDeps } from "../gate/admit.ts";
import type { AuthenticateDeps } from "../gate/authenticate.ts";
import type { Catalog } from "../gate/catalog.ts";
import type { LiveKey } from "../gate/key-cache.ts";
import type { GatewayError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Asserter } from "./assertion.ts";
import type { Injector } from "./inject.ts";
import type { OpenRequests } from "../gate/open-requests.ts";
import type { Upstreams } from "./upstreams.ts";

/** What is known of one proxied request when it has ended: what metrics, and later usage, are made from. */
export interface Exchange {
  readonly requestId: string;
  readonly method: string;
  live: LiveKey | null;
  serviceId: string | null;
  /** Of the upstream, or of the gateway's own refusal; null where the client left before there was one. */
  status: number | null;
  error: GatewayError | null;
  readonly startedAt: number;
}

export interface ProxyDeps extends AuthenticateDeps, AdmitDeps {
  readonly catalog: Catalog;
  readonly injector: Injector;
  readonly upstreams: Upstreams;
  readonly openRequests: OpenRequests;
  readonly clientAddress: ClientAddressOf;
  readonly log: Logger;
  /** Null until a service asks for assertions. */
  asserter(): Asserter | Promise<Asserter>;
  /** The public id of an org, for the assertion. */
  orgIdOf(orgUid: string): string | Promise<string>;
  /** Called once for each request, however it ended. Must not throw or wait. */
  settled(exchange: Exchange): void;
}
