/** Shorter texts are not looked for: they would turn up in harmless words, and are no secrets to rely on. */
export const SECRET_LENGTH_MIN = 8;

/**
 * How a secret may be written where it turns up: as it is; escaped in JSON (once, or twice where JSON stands in a string of
 * JSON; as Go, PHP and Python write it, too); percent- and form-encoded; in hexadecimal; and in base64, also in the middle of
 * something longer (`user:secret` of Basic), at each of the three alignments and in both alphabets. Each at least
 * {@link SECRET_LENGTH_MIN} characters; none for a secret that is shorter.
 */
export function secretForms(secret: string): readonly string[] {
  const text = secret.toWellFormed();
  if (text.length < SECRET_LENGTH_MIN) return [];
  const bytes = Buffer.from(text);
  const escaped = inJson(text);
  const ascii = escaped.replace(/[^ -~]/g, unicodeEscape);
  const percent = encodeURIComponent(text);
  const forms = [
    text,
    escaped,
    inJson(escaped),
    ascii,
    inJson(ascii),
    escaped.replace(/[<>&]/g, unicodeEscape),
    escaped.replaceAll("/", "\\/"),
    percent,
    percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    new URLSearchParams([["", text]]).toString().slice(1),
    encodeURI(text),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
    ...base64Forms(bytes),
  ];
  return [...new Set(forms)].filter((form) => form.length >= SECRET_LENGTH_MIN);
}

function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Without the characters that depend on what stands before or after. */
function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), bytes]);
    const inner = whole.toString("base64").slice(before === 0 ? 0 : before + 1, Math.floor((whole.length * 8) / 6));
    return [inner, inner.replaceAll("+", "-").replaceAll("/", "_")];
  });
}
