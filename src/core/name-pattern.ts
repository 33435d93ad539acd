/**
 * Compiles names and patterns, in which `*` stands for any characters, once, into one test. Null allows every name. Case
 * counts, and nothing is decoded or normalised first. No regular expression, hence no backtracking: the text between two
 * stars is looked for once, from left to right, which finds a match where there is one.
 */
export function compileNamePatterns(patterns: readonly string[] | null): (name: string) => boolean {
  if (patterns === null || patterns.includes("*")) return () => true;
  const exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  const globs = patterns.filter((pattern) => pattern.includes("*")).map(compileGlob);
  return (name) => exact.has(name) || globs.some((matches) => matches(name));
}

function compileGlob(pattern: string): (name: string) => boolean {
  const parts = pattern.split("*");
  const prefix = parts.shift() ?? "";
  const suffix = parts.pop() ?? "";
  return (name) => {
    if (!name.startsWith(prefix) || !name.endsWith(suffix)) return false;
    const end = name.length - suffix.length;
    let at = prefix.length;
    for (const part of parts) {
      const found = name.indexOf(part, at);
      if (found === -1) return false;
      at = found + part.length;
    }
    return at <= end;
  };
}
