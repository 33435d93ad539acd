import { parseArgs } from "node:util";

/** What `npm run bench:mcp -- …` was asked to do. Times are in seconds. */
export interface Options {
  readonly seconds: number;
  readonly rounds: number;
  readonly connections: number;
  readonly warmup: number;
  /** Calls of the look at memory; 0 leaves it out. */
  readonly calls: number;
  readonly sessions: number;
  readonly streams: number;
  readonly coldStarts: number;
  /** Before memory is read with all sessions open: what a burst freed has been given back by then. */
  readonly settle: number;
  readonly peers: boolean;
  readonly profile: boolean;
  readonly json: boolean;
}

export const HELP = `npm run bench:mcp -- [options]

  --seconds N      length of one measurement (default 2)
  --rounds N       paired rounds per workload; medians are reported (default 5)
  --connections N  keep-alive connections of the load, each with its session (default 32)
  --warmup N       seconds of load before a contestant is first measured (default 4)
  --calls N        calls over which the gateway's memory is watched (default 100000)
  --sessions N     open sessions with which its memory is measured (default 1000)
  --streams N      of those, how many hold their GET stream open (default 100)
  --cold-starts N  cold starts of the stdio server (default 9)
  --no-peers       without mcp-proxy and supergateway
  --quick          whether everything works, in seconds: its figures mean nothing
  --profile        instead: where the gateway spends its time under tools/call (a CPU profile)
  --json           print nothing but the JSON line
`;

/** Throws a plain Error with a message for people when a value makes no sense. */
export function parseOptions(argv: readonly string[]): Options | "help" {
  const number = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seconds: number,
      rounds: number,
      connections: number,
      warmup: number,
      calls: number,
      sessions: number,
      streams: number,
      "cold-starts": number,
      "no-peers": flag,
      quick: flag,
      profile: flag,
      json: flag,
      help: { ...flag, short: "h" },
    },
  });
  if (values.help) return "help";
  const quick = values.quick;
  return {
    seconds: wholeNumber("--seconds", values.seconds, 1, quick ? 0.2 : 2),
    rounds: wholeNumber("--rounds", values.rounds, 1, quick ? 1 : 5),
    connections: wholeNumber("--connections", values.connections, 1, quick ? 4 : 32),
    warmup: wholeNumber("--warmup", values.warmup, 0, quick ? 0 : 4),
    calls: wholeNumber("--calls", values.calls, 0, quick ? 500 : 100_000),
    sessions: wholeNumber("--sessions", values.sessions, 0, quick ? 20 : 1000),
    streams: wholeNumber("--streams", values.streams, 0, quick ? 5 : 100),
    coldStarts: wholeNumber("--cold-starts", values["cold-starts"], 0, quick ? 1 : 9),
    settle: quick ? 0.2 : 5,
    peers: !values["no-peers"],
    profile: values.profile,
    json: values.json,
  };
}

function wholeNumber(flag: string, text: string | undefined, least: number, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < least) {
    throw new Error(`${flag} takes a whole number from ${least}, not "${text}"`);
  }
  return value;
}
