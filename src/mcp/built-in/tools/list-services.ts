import { z } from "zod";
import { defineTool, whoeverHasKeys } from "./tool.ts";

const ServiceView = z.object({
  name: z.string().describe("Give this to `request_key` as `service_name`."),
  base_url: z.string().describe("Base URL of this service on the gateway. Call it with a virtual key."),
  description: z.string(),
  scopes: z.array(z.enum(["read", "write"])).describe("The scopes you may request."),
});

/** The services that the caller may use. Shows the gateway's addresses only: upstream origins stay inside. */
export const listServices = defineTool({
  name: "list_services",
  title: "List services",
  description: "List the APIs you can reach through this gateway, with the base URL to call each one at.",
  annotations: { readOnlyHint: true, openWorldHint: false },
  input: z.strictObject({}),
  output: z.object({ services: z.array(ServiceView) }),
  isOffered: whoeverHasKeys,
  async run(deps, caller) {
    const services = await deps.listServices(caller.principal);
    return {
      services: services.map(({ name, description, scopes }) => ({
        name,
        base_url: `${caller.context.publicUrl}/v1/services/${encodeURIComponent(name)}/proxy`,
        description,
        scopes: [...scopes],
      })),
    };
  },
});
