import { type Logger as PinoLogger, pino } from "pino";

export type Logger = PinoLogger;
export type LogLevel = "silent" | "error" | "warn" | "info" | "debug";

/**
 * JSON lines on stderr. Headers, bodies, query strings and secrets are never passed to it: log public
 * ids, codes and counts. The redaction below is the second line, for objects that slip through.
 *
 * @param onLine gets each line and gives what is written of it: the third line, for texts of others that hold a secret
 */
export function createLogger(level: LogLevel, onLine: (line: string) => string = (line) => line): Logger {
  return pino(
    {
      level,
      base: null,
      hooks: { streamWrite: onLine },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ["*.authorization", "*.cookie", "*.secret", "*.api_key", "*.token", "headers"],
        censor: "[redacted]",
      },
    },
    pino.destination({ dest: 2, sync: false }),
  );
}
