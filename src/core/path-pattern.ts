/**
 * A path pattern: a path in which `*` stands for any characters but `/`, and `**` for any characters.
 * `/v1/chat/*` matches `/v1/chat/completions` but not `/v1/chat/a/b`; `/v1/**` matches both.
 */
const PATTERN = /^\/[\x21-\x7e]{0,255}$/;

/** Whether a text can be a path pattern: it starts with `/`, has no space, `?`, `#`, `\` or dot segment, and at most eight stars. */
export function isPathPattern(text: string): boolean {
  if (!PATTERN.test(text) || /[?#\\]/.test(text) || /\*{3,}/.test(text)) return false;
  if ((text.match(/\*+/g) ?? []).length > 8) return false;
  return !text.split("/").some((segment) => segment === "." || segment === "..");
}

/**
 * Compiles patterns once, when a key or service is loaded, into one test. Null patterns allow every path.
 * Matching is case-sensitive, on the raw path as it was sent (nothing decoded), without the query. It takes
 * time in proportion to pattern and path whatever they hold: no regular expression, hence no backtracking.
 */
export function compilePatterns(patterns: readonly string[] | null): (path: string) => boolean {
  if (patterns === null) return () => true;
  const exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  const globs = patterns.filter((pattern) => pattern.includes("*")).map(compileGlob);
  return (path) => exact.has(path) || globs.some((matches) => matches(path));
}

function compileGlob(pattern: string): (path: string) => boolean {
  const prefix = pattern.slice(0, pattern.indexOf("*"));
  if (pattern === `${prefix}**`) return (path) => path.startsWith(prefix);
  const tokens = pattern.match(/\*\*|[^]/gu) ?? [];
  return (path) => path.startsWith(prefix) && matchTokens(tokens, path);
}

/** Runs all ways to match side by side: `reached[i]` is whether the first i tokens match the text so far. */
function matchTokens(tokens: readonly string[], path: string): boolean {
  let reached = closure(tokens, new Uint8Array(tokens.length + 1).fill(1, 0, 1));
  let next = new Uint8Array(tokens.length + 1);
  for (const char of path) {
    next.fill(0);
    for (let i = 0; i < tokens.length; i++) {
      if (!reached[i]) continue;
      const token = tokens[i];
      if (token === "**" || (token === "*" && char !== "/")) next[i] = 1;
      else if (token === char) next[i + 1] = 1;
    }
    [reached, next] = [closure(tokens, next), reached];
  }
  return reached[tokens.length] === 1;
}

/** A star may also match nothing. */
function closure(tokens: readonly string[], reached: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  for (let i = 0; i < tokens.length; i++) {
    if (reached[i] && (tokens[i] === "*" || tokens[i] === "**")) reached[i + 1] = 1;
  }
  return reached;
}
