/**
 * Whether a text, read as a path or URI, has a segment `..`: also percent-encoded, behind a backslash, or with the tabs and
 * line ends that URL parsers drop. A pattern such as `/srv/docs/**` must not be left by climbing out of it.
 */
export function climbs(text: string): boolean {
  if (!text.includes("..") && !/%2e/i.test(text) && !/\.[\t\n\r]/.test(text)) return false;
  const plain = text
    .replaceAll(/%(?:09|0a|0d)|[\t\n\r]/gi, "")
    .replaceAll(/%2e/gi, ".")
    .replaceAll(/%2f|%5c|\\/gi, "/");
  return plain.split(/[/?#;]/).includes("..");
}
