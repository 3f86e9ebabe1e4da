// ethers 6, as an application uses it. Steps go on when one fails; their order matters a little.
import * as ethers from "ethers";
import {
  abi,
  bytecode,
  expect,
  expectEqual,
  FACTORY,
  failure,
  heard,
  NOBODY,
  privateKeys,
  runSteps,
  until,
  url,
  ws,
} from "./steps.js";

const provider = new ethers.JsonRpcProvider(url, undefined, { pollingInterval: 100, cacheTimeout: -1 });
const polling = new ethers.JsonRpcProvider(url, undefined, { polling: true, pollingInterval: 100, cacheTimeout: -1 });
const [one, two] = privateKeys.map((key) => new ethers.Wallet(key, provider));
const gwei = ethers.parseUnits("1", "gwei");
let probe, deployed;

const newBlock = async () => {
  const before = await provider.send("eth_blockNumber", []);
  await until(async () => (await provider.send("eth_blockNumber", [])) !== before, "a block");
};
const call = (data, more = {}) => ({ to: probe.target, data, ...more });
const encode = (name, values) => probe.interface.encodeFunctionData(name, values);
const mined = async (sent) => (await sent).wait(1, 15_000);

await runSteps({
  "chain id": async () => {
    expectEqual((await provider.getNetwork()).chainId, 901n, "chain id");
  },
  "fee data": async () => {
    const fees = await provider.getFeeData();
    expect(fees.gasPrice > 0n && fees.maxFeePerGas > 0n, "prices");
  },
  "deploy": async () => {
    const factory = new ethers.ContractFactory(abi, bytecode, one);
    deployed = await factory.deploy(5);
    probe = await deployed.waitForDeployment();
    expectEqual(await probe.value(), 5n, "constructor's value");
    expectEqual(await probe.creator(), one.address, "creator");
  },
  "send and read": async () => {
    const receipt = await mined(probe.store(42));
    expectEqual(receipt.status, 1, "status");
    expectEqual(await probe.value(), 42n, "value");
    expectEqual(await probe.value({ blockTag: receipt.blockNumber - 1 }), 5n, "value before");
  },
  "event in receipt": async () => {
    const receipt = await mined(probe.store(43));
    expectEqual(receipt.logs[0].fragment.name, "Stored", "event");
    expectEqual(receipt.logs[0].args.value, 43n, "value");
  },
  "revert reason of a call": async () => {
    const error = await failure(() => probe.store.staticCall(0), "store(0)");
    expectEqual(error.reason, "zero is not stored", "reason");
  },
  "custom error of a call": async () => {
    const error = await failure(() => probe.store.staticCall(2_000_000), "store(2000000)");
    expectEqual(error.revert?.name, "TooBig", "error");
    expectEqual(error.revert.args[1], 1_000_000n, "limit");
  },
  "panic of a call": async () => {
    const error = await failure(() => probe.divide(1, 0), "divide(1, 0)");
    expect(/DIVIDE_BY_ZERO/.test(error.reason), "a reason that names the division");
  },
  "revert reason of an estimate": async () => {
    const error = await failure(() => probe.store.estimateGas(0), "the estimate");
    expectEqual(error.reason, "zero is not stored", "reason");
  },
  "estimate is enough and close": async () => {
    const estimate = await probe.work.estimateGas(200);
    const receipt = await mined(probe.work(200, { gasLimit: estimate }));
    expect(receipt.status === 1 && estimate < receipt.gasUsed * 2n, "status 1, below twice");
  },
  "mined revert": async () => {
    const sent = await probe.store(0, { gasLimit: 100_000 });
    const error = await failure(() => sent.wait(), "the receipt");
    expectEqual(error.receipt?.status, 0, "status");
  },
  "value and receive": async () => {
    const before = await provider.getBalance(probe.target);
    await mined(one.sendTransaction({ to: probe.target, value: 7n }));
    expectEqual((await provider.getBalance(probe.target)) - before, 7n, "balance");
  },
  "legacy transaction": async () => {
    const receipt = await mined(one.sendTransaction({ to: NOBODY, value: 1n, type: 0 }));
    expectEqual(receipt.type, 0, "type");
  },
  "query events": async () => {
    const found = await probe.queryFilter(probe.filters.Stored(one.address), 0, "latest");
    expect(found.length >= 2 && found[0].args.value === 42n, "two events");
  },
  "query events by topics": async () => {
    const found = await probe.queryFilter(probe.filters.Stored(null, [2, 3]), 0);
    expect(found.length >= 2, "two events");
    const none = await probe.queryFilter(probe.filters.Stored(two.address), 0);
    expectEqual(none.length, 0, "events of somebody else");
  },
  "events by filter": async () => {
    const contract = probe.connect(one);
    const event = await heard(
      async (resolve) => {
        await contract.on("Stored", (by, key, value) => resolve(value));
        return () => contract.removeAllListeners();
      },
      async () => {
        await newBlock();
        await mined(probe.store(101));
      },
      "Stored",
    );
    expectEqual(event, 101n, "value");
  },
  "events by polling": async () => {
    const contract = new ethers.Contract(probe.target, abi, polling);
    const event = await heard(
      async (resolve) => {
        await contract.on("Stored", (by, key, value) => resolve(value));
        return () => contract.removeAllListeners();
      },
      async () => {
        await newBlock();
        await mined(probe.store(102));
      },
      "Stored",
    );
    expectEqual(event, 102n, "value");
  },
  "pending transactions by filter": async () => {
    let sent;
    const hash = await heard(
      async (resolve) => {
        await provider.on("pending", (each) => resolve(each));
        return () => provider.removeAllListeners("pending");
      },
      async () => {
        await newBlock();
        await newBlock();
        sent = await one.sendTransaction({ to: NOBODY, value: 1n });
      },
      "a pending transaction",
    );
    await sent.wait();
    expect(hash.length === 66, "a hash");
  },
  "websocket: blocks": async () => {
    const socket = new ethers.WebSocketProvider(ws);
    socket.websocket.onerror = () => {};
    try {
      const number = await heard(
        async (resolve) => {
          await socket.on("block", resolve);
          return () => socket.removeAllListeners();
        },
        async () => {},
        "a block",
      );
      expect(number > 0, "a number");
    } finally {
      await socket.destroy();
    }
  },
  "websocket: events": async () => {
    const socket = new ethers.WebSocketProvider(ws);
    socket.websocket.onerror = () => {};
    try {
      const contract = new ethers.Contract(probe.target, abi, socket);
      const value = await heard(
        async (resolve) => {
          await contract.on("Stored", (by, key, stored) => resolve(stored));
          return () => contract.removeAllListeners();
        },
        async () => {
          await newBlock();
          await mined(probe.store(103));
        },
        "Stored",
      );
      expectEqual(value, 103n, "value");
    } finally {
      await socket.destroy();
    }
  },
  "websocket: pending transactions": async () => {
    const socket = new ethers.WebSocketProvider(ws);
    socket.websocket.onerror = () => {};
    try {
      let sent;
      const hash = await heard(
        async (resolve) => {
          await socket.on("pending", resolve);
          return () => socket.removeAllListeners();
        },
        async () => {
          await newBlock();
          sent = await one.sendTransaction({ to: NOBODY, value: 1n });
        },
        "a pending transaction",
      );
      await sent.wait();
      expectEqual(hash, sent.hash, "hash");
    } finally {
      await socket.destroy();
    }
  },
  "batch of twenty": async () => {
    const wanted = Array.from({ length: 20 }, (_, i) => ethers.toBeHex(i + 1, 20));
    const found = await Promise.all(wanted.map((address) => provider.getBalance(address)));
    expectEqual(found.length, 20, "answers");
  },
  "batch with a failure inside": async () => {
    const [number, error] = await Promise.all([
      provider.send("eth_blockNumber", []),
      provider.send("eth_getBlockByNumber", ["nonsense", false]).catch((caught) => caught),
    ]);
    expect(number.startsWith("0x") && error instanceof Error, "an answer and an error");
  },
  "pending nonce counts what waits": async () => {
    await newBlock();
    const before = await two.getNonce("latest");
    const sent = [];
    for (let i = 0; i < 3; i++) {
      sent.push(await two.sendTransaction({ to: NOBODY, value: 1n, nonce: before + i }));
    }
    expect((await two.getNonce("pending")) === before + 3, "three more");
    await Promise.all(sent.map((each) => each.wait()));
  },
  "nonce manager": async () => {
    const manager = new ethers.NonceManager(two);
    const sent = await Promise.all([1n, 2n, 3n].map((value) => manager.sendTransaction({ to: NOBODY, value })));
    const receipts = await Promise.all(sent.map((each) => each.wait()));
    expect(receipts.every((each) => each.status === 1), "all mined");
  },
  "replacement": async () => {
    const nonce = await two.getNonce();
    const fees = { maxFeePerGas: 20n * gwei, maxPriorityFeePerGas: gwei };
    await newBlock();
    const first = await two.sendTransaction({ to: NOBODY, value: 1n, nonce, ...fees });
    const dearer = { maxFeePerGas: 40n * gwei, maxPriorityFeePerGas: 2n * gwei };
    const second = await two.sendTransaction({ to: NOBODY, value: 2n, nonce, ...dearer });
    expectEqual((await second.wait()).status, 1, "status of the second");
    expectEqual(await provider.getTransactionReceipt(first.hash), null, "receipt of the first");
  },
  "replacement told to who waits": async () => {
    const nonce = await two.getNonce();
    await newBlock();
    const fees = { maxFeePerGas: 20n * gwei, maxPriorityFeePerGas: gwei };
    const first = await two.sendTransaction({ to: NOBODY, value: 1n, nonce, ...fees });
    const waiting = failure(() => first.wait(1, 15_000), "the replaced one");
    const dearer = { maxFeePerGas: 40n * gwei, maxPriorityFeePerGas: 2n * gwei };
    await two.sendTransaction({ to: NOBODY, value: 2n, nonce, ...dearer });
    expectEqual((await waiting).code, "TRANSACTION_REPLACED", "code");
  },
  "underpriced replacement is refused": async () => {
    const nonce = await two.getNonce();
    await newBlock();
    const fees = { maxFeePerGas: 20n * gwei, maxPriorityFeePerGas: gwei };
    const first = await two.sendTransaction({ to: NOBODY, value: 1n, nonce, ...fees });
    const error = await failure(
      () => two.sendTransaction({ to: NOBODY, value: 2n, nonce, ...fees }),
      "the second",
    );
    await first.wait();
    expectEqual(error.code, "REPLACEMENT_UNDERPRICED", "code");
  },
  "used nonce is refused": async () => {
    const nonce = (await two.getNonce()) - 1;
    const error = await failure(
      () => two.sendTransaction({ to: NOBODY, value: 2n, nonce, gasLimit: 21_000 }),
      "the transaction",
    );
    expectEqual(error.code, "NONCE_EXPIRED", "code");
  },
  "insufficient funds": async () => {
    const poor = new ethers.Wallet(ethers.id("poor"), provider);
    const error = await failure(
      () => poor.sendTransaction({ to: NOBODY, value: gwei, gasLimit: 21_000 }),
      "the transaction",
    );
    expectEqual(error.code, "INSUFFICIENT_FUNDS", "code");
  },
  "access list is made and used": async () => {
    const request = call(encode("store", [77]), { from: one.address });
    const { accessList, gasUsed } = await provider.send("eth_createAccessList", [request, "latest"]);
    expect(accessList.length > 0 && BigInt(gasUsed) > 21_000n, "a list and its gas");
    const receipt = await mined(one.sendTransaction({ to: probe.target, data: request.data, accessList }));
    expectEqual(receipt.status, 1, "status");
    expect(receipt.gasUsed <= BigInt(gasUsed), "no more gas than told");
  },
  "call with overrides": async () => {
    const overrides = { [probe.target]: { stateDiff: { [ethers.toBeHex(0, 32)]: ethers.toBeHex(99, 32) } } };
    const got = await provider.send("eth_call", [call(encode("value", [])), "latest", overrides]);
    expectEqual(BigInt(got), 99n, "value");
    const code = { [NOBODY]: { code: "0x602a5f5260205ff3" } };
    expectEqual(BigInt(await provider.send("eth_call", [{ to: NOBODY }, "latest", code])), 42n, "code");
  },
  "call at pending": async () => {
    const latest = await provider.getBlock("latest");
    const [number] = await probe.place({ blockTag: "pending" });
    expect(number > latest.number, "the next block's number");
  },
  "time at pending": async () => {
    const latest = await provider.getBlock("latest");
    const [, time] = await probe.place({ blockTag: "pending" });
    expect(time > latest.timestamp, "a later time");
  },
  "proof": async () => {
    const slot = ethers.toBeHex(0, 32);
    const proof = await provider.send("eth_getProof", [probe.target, [slot], "latest"]);
    expect(proof.accountProof.length > 0 && proof.storageProof[0].proof.length > 0, "proofs");
  },
  "storage and code": async () => {
    expectEqual(BigInt(await provider.getStorage(probe.target, 0)), await probe.value(), "slot 0");
    expect((await provider.getCode(probe.target)).length > 1000, "code");
  },
  "blocks by number, hash and tag": async () => {
    const block = await provider.getBlock("latest", true);
    expectEqual((await provider.getBlock(block.hash)).number, block.number, "number");
    expectEqual((await provider.getBlock(block.number)).hash, block.hash, "hash");
    for (const tag of ["earliest", "finalized", "safe", "pending"]) {
      expect((await provider.getBlock(tag)) !== null, `a ${tag} block`);
    }
    expectEqual(await provider.getBlock(10_000_000), null, "a block to come");
  },
  "transaction and receipt by hash": async () => {
    const receipt = await mined(probe.store(55));
    const transaction = await provider.getTransaction(receipt.hash);
    expectEqual(transaction.blockHash, receipt.blockHash, "block");
    expectEqual(transaction.from, one.address, "sender");
    expect((await transaction.confirmations()) >= 1, "confirmations");
    expectEqual(await provider.getTransaction(ethers.id("none")), null, "unknown");
  },
  "deterministic deployment": async () => {
    const salt = ethers.id("ethers");
    const init = ethers.concat([bytecode, ethers.toBeHex(9, 32)]);
    await mined(one.sendTransaction({ to: FACTORY, data: ethers.concat([salt, init]) }));
    const address = ethers.getCreate2Address(FACTORY, salt, ethers.keccak256(init));
    expectEqual(await new ethers.Contract(address, abi, provider).value(), 9n, "value");
  },
  "authorization (EIP-7702)": async () => {
    const authority = ethers.Wallet.createRandom(provider);
    const authorization = await authority.authorize({ address: probe.target, nonce: 0, chainId: 901 });
    const receipt = await mined(
      one.sendTransaction({ type: 4, to: authority.address, authorizationList: [authorization] }),
    );
    expectEqual(receipt.status, 1, "status");
    expectEqual(
      (await provider.getCode(authority.address)).toLowerCase(),
      "0xef0100" + probe.target.slice(2).toLowerCase(),
      "delegation",
    );
    expectEqual((await provider.getTransaction(receipt.hash)).authorizationList.length, 1, "list");
  },
  "node's own accounts": async () => {
    const signer = await provider.getSigner(0);
    const receipt = await mined(signer.sendTransaction({ to: NOBODY, value: 1n }));
    expectEqual(receipt.from, signer.address, "sender");
  },
  "node's own signature": async () => {
    const signer = await provider.getSigner(0);
    const signature = await signer.signMessage("hello");
    expectEqual(ethers.verifyMessage("hello", signature), signer.address, "signer");
  },
  "trace of a transaction": async () => {
    const receipt = await mined(probe.store(56));
    const trace = await provider.send("debug_traceTransaction", [receipt.hash, { tracer: "callTracer" }]);
    expectEqual(trace.type, "CALL", "type");
    const steps = await provider.send("debug_traceTransaction", [receipt.hash, {}]);
    expect(steps.structLogs.length > 10, "steps");
  },
  "no names on this chain": async () => {
    const error = await failure(() => provider.resolveName("somebody.eth"), "the look-up");
    expectEqual(error.code, "UNSUPPORTED_OPERATION", "code");
  },
});
