/** `npm run check`: the words of what people read, and the form of commit messages. */
import { commitFaults } from "./commits.ts";
import { englishFindings } from "./english.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

const lines = [
  ...englishFindings(ROOT).map(({ file, line, found, instead }) => `${file}:${line}: "${found}" (${instead})`),
  ...commitFaults(ROOT).map((fault) => `commit ${fault}`),
];
for (const line of lines) console.error(line);
if (lines.length > 0) process.exitCode = 1;
