"""Deploy a contract through one operator, read it back from the follower: deploy.py NETWORK.json"""

import json
import sys
from pathlib import Path

import requests
from web3 import Web3

path = Path(sys.argv[1])
if not path.exists():
    sys.exit(f"error: there is no {path}: start a network first (make devnet)")
network = json.loads(path.read_text())
session = requests.Session()
session.trust_env = False  # HTTP_PROXY is not for what runs on this machine
operator, follower = (
    Web3(Web3.HTTPProvider(network[side][0]["rpc"], session=session))
    for side in ("operators", "followers")
)
account = operator.eth.account.from_key(network["accounts"][0]["private_key"])
operator.eth.default_account = account.address
fees = {"gas": 200_000, "maxFeePerGas": 20 * 10**9, "maxPriorityFeePerGas": 10**9}
nonce = operator.eth.get_transaction_count(account.address)
# The contract answers 42 to every call; bytes, so that no compiler is needed.
code = "0x600a600c600039600a6000f3602a60005260206000f3"
deploy = {"data": code, "nonce": nonce, "chainId": network["chain_id"], **fees}
sent = operator.eth.send_raw_transaction(account.sign_transaction(deploy).raw_transaction)
receipt = follower.eth.wait_for_transaction_receipt(sent, timeout=60)
address = str(receipt["contractAddress"])
answer = int.from_bytes(follower.eth.call({"to": Web3.to_checksum_address(address)}), "big")
print(f"{address} in block {receipt['blockNumber']}: the follower reads {answer}")
