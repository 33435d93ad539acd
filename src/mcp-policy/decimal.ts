/** More digits than any number that a grant can name. */
const MAX_LENGTH = 400;

/**
 * One spelling for every way to write a decimal in JSON (`1.0`, `10e-1`), exactly: nothing is rounded to a double. Null for
 * what is no number, and for numbers too long to be equal to one that a grant names.
 */
export function canonicalDecimal(token: string): string | null {
  if (token.length > MAX_LENGTH) return null;
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,6}))?$/.exec(token);
  if (!parts) return null;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = parts;
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = digits.replace(/0+$/, "");
  if (significant === "") return "0";
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}
