// A stdio MCP server that is cheap enough not to be the limit. The first argument only marks it in the process list.
import { answer } from "./answers.mjs";

let rest = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop() ?? "";
  let out = "";
  for (const line of lines) {
    const { reply } = line.trim() === "" ? { reply: null } : answer(line, false);
    if (reply !== null) out += `${reply}\n`;
  }
  if (out !== "") process.stdout.write(out);
});
process.stdin.on("end", () => process.exit(0));
