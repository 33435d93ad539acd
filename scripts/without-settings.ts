/** The environment for a gateway that has the settings it is given here, whatever the shell says. */
export function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(?:BIFROST|MCP_GATEWAY)_/.test(name)));
}
