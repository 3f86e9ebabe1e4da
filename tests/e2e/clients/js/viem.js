// viem 2, as an application uses it. Steps go on when one fails; their order matters a little.
import {
  BaseError,
  concat,
  ContractFunctionRevertedError,
  createPublicClient,
  createWalletClient,
  defineChain,
  encodeDeployData,
  encodeFunctionData,
  getContract,
  getContractAddress,
  http,
  keccak256,
  nonceManager,
  parseGwei,
  parseEther,
  publicActions,
  toHex,
  webSocket,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import {
  abi,
  bytecode,
  expect,
  expectEqual,
  FACTORY,
  failure,
  heard,
  MULTICALL3,
  NOBODY,
  privateKeys,
  runSteps,
  until,
  url,
  ws,
} from "./steps.js";

const chain = defineChain({
  id: 901,
  name: "dst",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [url], webSocket: [ws] } },
  contracts: { multicall3: { address: MULTICALL3 } },
});
const settings = { chain, pollingInterval: 100, cacheTime: 0 };
const client = createPublicClient({ ...settings, transport: http(url, { retryCount: 0 }) });
const batching = createPublicClient({
  ...settings,
  transport: http(url, { batch: true, retryCount: 0 }),
  batch: { multicall: true },
});
const socket = () =>
  createPublicClient({
    ...settings,
    transport: webSocket(ws, { reconnect: false, retryCount: 0, timeout: 5_000 }),
  });
const [one, two] = privateKeys.map((key) =>
  createWalletClient({
    ...settings,
    account: privateKeyToAccount(key),
    transport: http(url, { retryCount: 0 }),
  }),
);
let address, probe;

const receiptOf = (hash) => client.waitForTransactionReceipt({ hash, timeout: 15_000 });
const newBlock = async () => {
  const before = await client.getBlockNumber();
  await until(async () => (await client.getBlockNumber()) !== before, "a block");
};
const reverted = async (work, what) => {
  const error = await failure(work, what);
  const inner = error instanceof BaseError && error.walk((e) => e instanceof ContractFunctionRevertedError);
  if (!inner) throw error;
  return inner;
};
const walked = (error, name) => error instanceof BaseError && Boolean(error.walk((e) => e.name === name));

await runSteps({
  "chain id": async () => expectEqual(await client.getChainId(), 901, "chain id"),
  "fees": async () => {
    const fees = await client.estimateFeesPerGas();
    expect(fees.maxFeePerGas > 0n, "a price");
    expect((await client.getGasPrice()) > 0n, "a gas price");
    expect((await client.getBlobBaseFee()) >= 1n, "a blob price");
  },
  "fee history": async () => {
    await until(async () => (await client.getBlockNumber()) > 4n, "five blocks");
    const history = await client.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
    expectEqual(history.baseFeePerGas.length, 5, "base fees");
    expectEqual(history.reward.length, 4, "rewards");
  },
  "deploy": async () => {
    const receipt = await receiptOf(await one.deployContract({ abi, bytecode, args: [5n] }));
    address = receipt.contractAddress;
    probe = getContract({ address, abi, client: { public: client, wallet: one } });
    expectEqual(await probe.read.value(), 5n, "constructor's value");
  },
  "simulate, write, read": async () => {
    const { request, result } = await client.simulateContract({
      address, abi, functionName: "store", args: [42n], account: one.account,
    });
    expectEqual(result, 5n, "value before");
    const receipt = await receiptOf(await one.writeContract(request));
    expectEqual(receipt.status, "success", "status");
    expectEqual(await probe.read.value(), 42n, "value");
    expectEqual(await probe.read.value({ blockNumber: receipt.blockNumber - 1n }), 5n, "before");
  },
  "revert reason": async () => {
    const error = await reverted(() => probe.simulate.store([0n]), "store(0)");
    expectEqual(error.reason, "zero is not stored", "reason");
  },
  "custom error": async () => {
    const error = await reverted(() => probe.simulate.store([2_000_000n]), "store(2000000)");
    expectEqual(error.data?.errorName, "TooBig", "error");
  },
  "panic": async () => {
    const error = await reverted(() => probe.read.divide([1n, 0n]), "divide(1, 0)");
    expectEqual(error.data?.args?.[0], 0x12n, "code");
  },
  "revert reason of an estimate": async () => {
    const error = await reverted(() => probe.estimateGas.store([0n], { account: one.account }), "it");
    expectEqual(error.reason, "zero is not stored", "reason");
  },
  "mined revert": async () => {
    const hash = await probe.write.store([0n], { gas: 100_000n });
    expectEqual((await receiptOf(hash)).status, "reverted", "status");
  },
  "events of a contract": async () => {
    const found = await client.getContractEvents({ address, abi, eventName: "Stored", fromBlock: 0n });
    expectEqual(found[0].args.value, 42n, "value");
    const byIndex = await client.getLogs({
      address, event: abi.find((e) => e.name === "Stored"), args: { key: [1n, 2n] }, fromBlock: 0n,
    });
    expectEqual(byIndex.length, 1, "logs of one key");
    expectEqual((await client.getLogs({ blockHash: found[0].blockHash })).length > 0, true, "by hash");
  },
  "event filter": async () => {
    const filter = await client.createContractEventFilter({ address, abi, eventName: "Stored" });
    await receiptOf(await probe.write.store([11n]));
    const found = await until(async () => {
      const changes = await client.getFilterChanges({ filter });
      return changes.length && changes;
    }, "the event");
    expectEqual(found[0].args.value, 11n, "value");
    expectEqual((await client.getFilterLogs({ filter })).length, 1, "logs");
    expectEqual(await client.uninstallFilter({ filter }), true, "uninstalled");
  },
  "block filter": async () => {
    const filter = await client.createBlockFilter();
    await newBlock();
    expect((await client.getFilterChanges({ filter })).length >= 1, "a hash");
  },
  "pending transaction filter": async () => {
    const filter = await client.createPendingTransactionFilter();
    await newBlock();
    const hash = await one.sendTransaction({ to: NOBODY, value: 1n });
    const found = await until(async () => {
      const changes = await client.getFilterChanges({ filter });
      return changes.includes(hash);
    }, "the hash");
    await receiptOf(hash);
    expect(found, "the hash");
  },
  "watch events over http": async () => {
    const value = await heard(
      (resolve, reject) =>
        client.watchContractEvent({
          address, abi, eventName: "Stored", onLogs: (logs) => resolve(logs[0].args.value), onError: reject,
        }),
      async () => {
        await newBlock();
        await newBlock();
        await receiptOf(await probe.write.store([12n]));
      },
      "Stored",
    );
    expectEqual(value, 12n, "value");
  },
  "websocket: requests": async () => expectEqual(await socket().getChainId(), 901, "chain id"),
  "websocket: watch blocks": async () => {
    const block = await heard(
      (resolve, reject) => socket().watchBlocks({ onBlock: resolve, onError: reject }),
      async () => {},
      "a block",
    );
    expect(block.hash, "a hash");
  },
  "websocket: watch events": async () => {
    const value = await heard(
      (resolve, reject) =>
        socket().watchContractEvent({
          address, abi, eventName: "Stored", onLogs: (logs) => resolve(logs[0].args.value), onError: reject,
        }),
      async () => {
        await newBlock();
        await newBlock();
        await receiptOf(await probe.write.store([13n]));
      },
      "Stored",
    );
    expectEqual(value, 13n, "value");
  },
  "websocket: watch pending transactions": async () => {
    const hashes = await heard(
      (resolve, reject) => socket().watchPendingTransactions({ onTransactions: resolve, onError: reject }),
      async () => {
        await newBlock();
        await newBlock();
        await receiptOf(await one.sendTransaction({ to: NOBODY, value: 1n }));
      },
      "a pending transaction",
    );
    expectEqual(hashes.length, 1, "hashes");
  },
  "multicall": async () => {
    const [value, creator, failed] = await client.multicall({
      contracts: [
        { address, abi, functionName: "value" },
        { address, abi, functionName: "creator" },
        { address, abi, functionName: "divide", args: [1n, 0n] },
      ],
    });
    expect(value.status === "success" && creator.status === "success", "two answers");
    expectEqual(failed.status, "failure", "the third");
  },
  "calls without a deployed multicall": async () => {
    const [value] = await client.multicall({
      contracts: [{ address, abi, functionName: "value" }],
      deployless: true,
    });
    expectEqual(value.status, "success", "status");
  },
  "batches": async () => {
    const calls = Array.from({ length: 10 }, () =>
      batching.readContract({ address, abi, functionName: "value" }),
    );
    const found = await Promise.all([...calls, batching.getBlockNumber(), batching.getChainId()]);
    expectEqual(found.at(-1), 901, "the last answer");
  },
  "state overrides of a call": async () => {
    const stateOverride = [{ address, stateDiff: [{ slot: toHex(0, { size: 32 }), value: toHex(99, { size: 32 }) }] }];
    expectEqual(await probe.read.value({ stateOverride }), 99n, "value");
    const { data } = await client.call({
      to: NOBODY, stateOverride: [{ address: NOBODY, code: "0x602a5f5260205ff3" }],
    });
    expectEqual(BigInt(data), 42n, "code");
  },
  "state overrides of an estimate": async () => {
    const gas = await client.estimateGas({
      account: NOBODY, to: NOBODY, value: parseEther("5"),
      stateOverride: [{ address: NOBODY, balance: parseEther("10") }],
    });
    expect(gas >= 21_000n, "gas");
  },
  "block overrides of a call": async () => {
    const data = encodeFunctionData({ abi, functionName: "place" });
    const got = await client.call({ to: address, data, blockOverrides: { number: 12_345n, time: 4_000_000_000n } });
    expectEqual(BigInt(got.data.slice(0, 66)), 12_345n, "number");
  },
  "deployless call": async () => {
    const { data } = await client.call({
      code: encodeDeployData({ abi, bytecode, args: [42n] }),
      data: encodeFunctionData({ abi, functionName: "value" }),
    });
    expectEqual(BigInt(data), 42n, "answer");
  },
  "access list": async () => {
    const data = encodeFunctionData({ abi, functionName: "store", args: [77n] });
    const { accessList, gasUsed } = await client.createAccessList({ account: one.account, to: address, data });
    expect(accessList.length >= 1, "a list");
    const receipt = await receiptOf(await one.sendTransaction({ to: address, data, accessList }));
    expect(receipt.status === "success" && receipt.gasUsed <= gasUsed, "success, no more gas than told");
  },
  "proof": async () => {
    const proof = await client.getProof({ address, storageKeys: [toHex(0, { size: 32 })] });
    expect(proof.accountProof.length > 0 && proof.storageProof[0].value > 0n, "proofs");
  },
  "simulate blocks": async () => {
    const [block] = await client.simulateBlocks({
      blocks: [{
        stateOverrides: [{ address: NOBODY, balance: parseEther("10") }],
        calls: [
          { account: NOBODY, to: one.account.address, value: parseEther("1") },
          { to: address, abi, functionName: "value" },
        ],
      }],
    });
    expectEqual(block.calls.map((each) => each.status), ["success", "success"], "statuses");
  },
  "simulate calls": async () => {
    const { results } = await client.simulateCalls({
      account: one.account.address,
      calls: [{ to: address, abi, functionName: "store", args: [3n] }, { to: address, abi, functionName: "value" }],
    });
    expectEqual(results[1].result, 3n, "the second sees the first");
  },
  "pending nonce": async () => {
    await newBlock();
    const nonce = await client.getTransactionCount({ address: two.account.address });
    const hashes = [];
    for (let i = 0; i < 3; i++) hashes.push(await two.sendTransaction({ to: NOBODY, nonce: nonce + i }));
    const pending = await client.getTransactionCount({ address: two.account.address, blockTag: "pending" });
    await Promise.all(hashes.map(receiptOf));
    expectEqual(pending, nonce + 3, "pending nonce");
  },
  "nonce manager": async () => {
    const account = privateKeyToAccount(privateKeys[1], { nonceManager });
    const wallet = createWalletClient({ ...settings, account, transport: http(url) });
    const hashes = await Promise.all([1n, 2n, 3n].map((value) => wallet.sendTransaction({ to: NOBODY, value })));
    const receipts = await Promise.all(hashes.map(receiptOf));
    expect(receipts.every((each) => each.status === "success"), "all mined");
  },
  "replacement is noticed": async () => {
    // The replaced one waits behind a missing nonce, so that no block takes it first.
    const nonce = await client.getTransactionCount({ address: two.account.address });
    const fees = (cap, tip) => ({ maxFeePerGas: parseGwei(cap), maxPriorityFeePerGas: parseGwei(tip) });
    const later = { to: NOBODY, nonce: nonce + 1, gas: 21_000n };
    const first = await two.sendTransaction({ ...later, value: 1n, ...fees("40", "1") });
    let reason;
    const waiting = client.waitForTransactionReceipt({
      hash: first, timeout: 15_000, onReplaced: (told) => (reason = told.reason),
    });
    await newBlock();
    await newBlock();
    const second = await two.sendTransaction({ ...later, value: 2n, ...fees("80", "2") });
    await two.sendTransaction({ to: NOBODY, nonce, gas: 21_000n });
    expectEqual((await waiting).transactionHash, second, "hash");
    expectEqual(reason, "replaced", "reason");
  },
  "used nonce": async () => {
    const error = await failure(() => two.sendTransaction({ to: NOBODY, nonce: 0, gas: 21_000n }), "it");
    expect(walked(error, "NonceTooLowError"), `NonceTooLowError, not: ${error.shortMessage} ${error.details}`);
  },
  "insufficient funds": async () => {
    const poor = createWalletClient({ ...settings, account: privateKeyToAccount(generatePrivateKey()), transport: http(url) });
    const error = await failure(() => poor.sendTransaction({ to: NOBODY, value: 1n, gas: 21_000n }), "it");
    expect(walked(error, "InsufficientFundsError"), `InsufficientFundsError, not: ${error.details}`);
  },
  "gas above the block": async () => {
    const error = await failure(() => two.sendTransaction({ to: NOBODY, gas: 100_000_000n }), "it");
    expect(error instanceof BaseError, "an error");
  },
  "authorization (EIP-7702)": async () => {
    const authority = privateKeyToAccount(generatePrivateKey());
    const authorization = await one.signAuthorization({ account: authority, contractAddress: address });
    const hash = await one.sendTransaction({ to: authority.address, data: "0x", authorizationList: [authorization] });
    expectEqual((await receiptOf(hash)).status, "success", "status");
    const target = await client.getDelegation({ address: authority.address });
    expectEqual(target?.toLowerCase(), address.toLowerCase(), "delegation");
    const shown = await client.getTransaction({ hash });
    expectEqual([shown.type, shown.authorizationList.length], ["eip7702", 1], "type and list");
  },
  "gas of an authorization": async () => {
    const authority = privateKeyToAccount(generatePrivateKey());
    const authorization = await one.signAuthorization({ account: authority, contractAddress: address });
    const gas = await client.estimateGas({ account: one.account, to: NOBODY, authorizationList: [authorization] });
    expect(gas >= 46_000n, `46,000 at least, not ${gas}`);
  },
  "send and wait in one": async () => {
    const receipt = await one.sendTransactionSync({ to: NOBODY, value: 1n });
    expectEqual(receipt.status, "success", "status");
  },
  "raw send and wait in one": async () => {
    const request = await one.prepareTransactionRequest({ to: NOBODY, value: 1n });
    const serializedTransaction = await one.signTransaction(request);
    const receipt = await one.sendRawTransactionSync({ serializedTransaction });
    expectEqual(receipt.status, "success", "status");
  },
  "filled by the node": async () => {
    const { transaction } = await client.fillTransaction({ account: one.account, to: NOBODY, value: 1n });
    expect(transaction.gas >= 21_000n && transaction.maxFeePerGas > 0n, "gas and fee");
  },
  "deterministic deployment": async () => {
    const salt = keccak256(toHex("viem"));
    const init = encodeDeployData({ abi, bytecode, args: [9n] });
    await receiptOf(await one.sendTransaction({ to: FACTORY, data: concat([salt, init]) }));
    const at = getContractAddress({ bytecode: init, from: FACTORY, opcode: "CREATE2", salt });
    expectEqual(await client.readContract({ address: at, abi, functionName: "value" }), 9n, "value");
  },
  "blocks, transactions, receipts": async () => {
    const receipt = await receiptOf(await probe.write.store([55n]));
    const block = await client.getBlock({ blockHash: receipt.blockHash, includeTransactions: true });
    expect(block.transactions.some((each) => each.hash === receipt.transactionHash), "it is in its block");
    const index = receipt.transactionIndex;
    const shown = await client.getTransaction({ blockNumber: receipt.blockNumber, index });
    expectEqual(shown.hash, receipt.transactionHash, "by index");
    expectEqual(await client.getBlockTransactionCount({ blockHash: block.hash }), block.transactions.length, "count");
    expect((await client.getTransactionConfirmations({ hash: receipt.transactionHash })) >= 1n, "confirmations");
    for (const blockTag of ["earliest", "safe", "finalized", "pending"]) await client.getBlock({ blockTag });
  },
  "absent things": async () => {
    const hash = keccak256("0x00");
    expect(walked(await failure(() => client.getTransaction({ hash }), "it"), "TransactionNotFoundError"), "transaction");
    expect(walked(await failure(() => client.getTransactionReceipt({ hash }), "it"), "TransactionReceiptNotFoundError"), "receipt");
    expect(walked(await failure(() => client.getBlock({ blockHash: hash }), "it"), "BlockNotFoundError"), "block");
  },
  "pool": async () => {
    const status = await client.request({ method: "txpool_status" });
    const content = await client.request({ method: "txpool_content" });
    const inspected = await client.request({ method: "txpool_inspect" });
    expect(status.pending && content.pending && inspected.pending, "three answers");
  },
  "traces": async () => {
    const receipt = await receiptOf(await probe.write.store([56n]));
    const hash = receipt.transactionHash;
    const calls = await client.request({ method: "debug_traceTransaction", params: [hash, { tracer: "callTracer" }] });
    expectEqual(calls.type, "CALL", "type");
    const touched = await client.request({
      method: "debug_traceTransaction",
      params: [hash, { tracer: "prestateTracer", tracerConfig: { diffMode: true } }],
    });
    expect(touched.pre && touched.post, "before and after");
    const data = encodeFunctionData({ abi, functionName: "value" });
    const traced = await client.request({ method: "debug_traceCall", params: [{ to: address, data }, "latest", { tracer: "callTracer" }] });
    expectEqual(traced.to.toLowerCase(), address.toLowerCase(), "traced call");
  },
  "signature of a contract account": async () => {
    const message = "hello";
    const signature = await one.signMessage({ message });
    expect(await client.verifyMessage({ address: one.account.address, message, signature }), "valid");
  },
  "node's own accounts": async () => {
    const wallet = createWalletClient({ ...settings, transport: http(url) }).extend(publicActions);
    const [account] = await wallet.getAddresses();
    expect(account, "an address");
    const receipt = await receiptOf(await wallet.sendTransaction({ account, to: NOBODY, value: 1n }));
    expectEqual(receipt.from.toLowerCase(), account.toLowerCase(), "sender");
  },
});
