import type { DeclaredMcpServer } from "../../config/model.ts";
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/log.ts";
import { type Breaker, createBreaker } from "../../mcp-policy/breaker.ts";
import { createResponseFilters, type ResponseFilters } from "../../mcp-policy/response-filter.ts";

/** What each server has of its own, for all its callers together. Follows the declaration: a changed one begins anew. */
export interface ServerPolicies {
  breakerOf(server: DeclaredMcpServer): Breaker;
  /** Null where results are not filtered. */
  filtersOf(server: DeclaredMcpServer): ResponseFilters | null;
  /** The declaration no longer holds. */
  forget(server: DeclaredMcpServer): void;
  close(): Promise<void>;
}

/** @param clock steady */
export function createServerPolicies(clock: Clock, log: Pick<Logger, "error">): ServerPolicies {
  const breakers = new Map<DeclaredMcpServer, Breaker>();
  const filters = new Map<DeclaredMcpServer, ResponseFilters>();

  /** Broken programs are told at once; their tools answer errors in any case. */
  function check({ name }: DeclaredMcpServer, own: ResponseFilters): void {
    own.check().then(
      (broken) => {
        for (const problem of broken) log.error({ server: name, ...problem }, "a response filter is broken");
      },
      (err: unknown) => log.error({ server: name, err }, "response filters could not be checked"),
    );
  }

  return {
    breakerOf(server) {
      let breaker = breakers.get(server);
      if (!breaker) breakers.set(server, (breaker = createBreaker({ server: server.name, ...server.breaker, clock })));
      return breaker;
    },
    filtersOf(server) {
      const own = filters.get(server);
      if (own) return own;
      if (Object.keys(server.responseFilters).length === 0) return null;
      const made = createResponseFilters(server.responseFilters);
      filters.set(server, made);
      check(server, made);
      return made;
    },
    forget(server) {
      breakers.delete(server);
      const own = filters.get(server);
      filters.delete(server);
      own?.close().catch((err: unknown) => log.error({ server: server.name, err }, "a response filter did not end"));
    },
    close: async () => void (await Promise.all([...filters.values()].map((own) => own.close()))),
  };
}
