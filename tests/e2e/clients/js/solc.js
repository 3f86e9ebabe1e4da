// The compiler of the npm package, spoken to as forge speaks to the native one:
// `--version`, and `--standard-json` with the input on stdin.
import { readFileSync } from "node:fs";
import solc from "solc";

if (process.argv.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else {
  console.log(solc.compile(readFileSync(0, "utf8")));
}
