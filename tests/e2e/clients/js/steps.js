// What every script shares: steps that fail alone, a line of JSON for each, and the waiting.
import { readFileSync } from "node:fs";

const STEP_MS = 20_000;

const [, , url, ws, artifactPath, ...privateKeys] = process.argv;
const { abi, bytecode } = JSON.parse(readFileSync(artifactPath, "utf8"));
export { abi, bytecode, privateKeys, url, ws };

export const MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11";
export const FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C";
export const NOBODY = "0x00000000000000000000000000000000000b0b01";

export function expect(condition, told) {
  if (!condition) throw new Error(`expected: ${told}`);
}

export function expectEqual(got, wanted, what) {
  const [a, b] = [got, wanted].map((v) => (typeof v === "bigint" ? v.toString() : JSON.stringify(v)));
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
}

// The error that `work` must end in.
export async function failure(work, what) {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error(`${what} did not fail`);
}

// Resolves with what `subscribe(resolve)` hands over, then calls what it returned.
export async function heard(subscribe, act, what) {
  let stop;
  const event = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} was not heard`)), STEP_MS / 2);
    stop = subscribe(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
  event.catch(() => {}); // it is awaited below; until then it may fail in silence
  stop = await stop;
  try {
    await act();
    return await event;
  } finally {
    await stop?.();
  }
}

export async function until(condition, what) {
  const end = Date.now() + STEP_MS / 2;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${STEP_MS / 2000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function runSteps(steps) {
  for (const [name, work] of Object.entries(steps)) {
    const started = Date.now();
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no end after ${STEP_MS / 1000} s`)), STEP_MS);
    });
    let error = "";
    try {
      await Promise.race([work(), late]);
    } catch (caught) {
      error = String(caught?.shortMessage ?? caught?.message ?? caught) + detailOf(caught);
    }
    clearTimeout(timer);
    const seconds = (Date.now() - started) / 1000;
    console.log(JSON.stringify({ step: name, ok: !error, error: error.slice(0, 300), seconds }));
  }
  process.exit(0);
}

function detailOf(error) {
  const detail = error?.details ?? error?.error?.message ?? error?.info?.error?.message ?? "";
  return detail ? ` [${detail}]` : "";
}

process.on("unhandledRejection", () => {});
