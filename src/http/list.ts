import { z } from "zod";
import { decodeCursor, encodeCursor, type Page, type PageRequest } from "../storage/page.ts";
import type { Reply } from "./route.ts";

/** Query fields of every list; spread them beside a list's own filters. */
export const listQuery = {
  limit: z.coerce.number().int().min(1).max(200).default(50).describe("At most so many items, 1 to 200."),
  cursor: z.string().max(200).optional().describe("From `X-Next-Cursor` of the page before; leave out for the first."),
};

/** @throws GatewayError `request.invalid` for a cursor that we did not make */
export function pageRequest(query: { limit: number; cursor?: string | undefined }): PageRequest {
  return { limit: query.limit, after: query.cursor === undefined ? null : decodeCursor(query.cursor) };
}

/**
 * A list reply: the body is a plain array, as clients of the first API expect; where there is a next
 * page, `X-Next-Cursor` carries what to pass as `cursor`, and the server adds the same as a `Link`.
 */
export function listReply<T, Body>(page: Page<T>, toBody: (item: T) => Body): Reply<Body[]> {
  return {
    status: 200,
    body: page.items.map(toBody),
    ...(page.next === null ? {} : { headers: { "x-next-cursor": encodeCursor(page.next) } }),
  };
}
