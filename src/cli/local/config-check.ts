import type { ConfigFlags, Context } from "../context.ts";
import { loadSettings } from "./open-config.ts";

/** @throws ConfigError with every problem */
export function checkConfig({ output, terminal }: Context, options: ConfigFlags): void {
  const settings = loadSettings(terminal, options);
  for (const warning of settings.warnings) output.note(`warning: ${warning}`);
  output.done("The configuration is valid.", {
    valid: true,
    file: settings.file,
    mode: settings.mode,
    database: settings.database.dialect,
    redis: settings.redisUrl !== null,
    credentials: settings.credentials.map((credential) => credential.id),
    services: settings.services.map((service) => service.id),
    warnings: settings.warnings,
  });
}
