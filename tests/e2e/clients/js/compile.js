// Writes Probe.json beside Probe.sol: `node compile.js ../contracts` in a folder with node_modules.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import solc from "solc";

const folder = process.argv[2];
const source = readFileSync(join(folder, "Probe.sol"), "utf8");
const input = {
  language: "Solidity",
  sources: { "Probe.sol": { content: source } },
  settings: {
    evmVersion: "prague",
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const faults = (output.errors ?? []).filter((each) => each.severity === "error");
if (faults.length) throw new Error(faults.map((each) => each.formattedMessage).join("\n"));
const { abi, evm } = output.contracts["Probe.sol"].Probe;
const made = { compiler: solc.version(), abi, bytecode: "0x" + evm.bytecode.object };
writeFileSync(join(folder, "Probe.json"), JSON.stringify(made, null, 1) + "\n");
