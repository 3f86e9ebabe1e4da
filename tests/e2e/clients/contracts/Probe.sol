// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// What a client can get wrong about a contract: state, events, the three kinds of revert, value,
/// the block it runs in. Compiled into Probe.json (make it again: tests/e2e/clients/compile.js).
contract Probe {
    uint256 public value;
    address public immutable creator;
    mapping(address => uint256) public deposits;

    event Stored(address indexed by, uint256 indexed key, uint256 value);
    event Deposited(address indexed by, uint256 amount, string note);

    error TooBig(uint256 given, uint256 limit);

    constructor(uint256 initial) payable {
        value = initial;
        creator = msg.sender;
    }

    function store(uint256 x) external returns (uint256 before) {
        require(x != 0, "zero is not stored");
        if (x > 1_000_000) revert TooBig(x, 1_000_000);
        before = value;
        value = x;
        emit Stored(msg.sender, x % 10, x);
    }

    function divide(uint256 a, uint256 b) external pure returns (uint256) {
        return a / b;
    }

    function deposit(string calldata note) external payable {
        deposits[msg.sender] += msg.value;
        emit Deposited(msg.sender, msg.value, note);
    }

    function work(uint256 turns) external returns (uint256 sum) {
        for (uint256 i = 0; i < turns; i++) sum += uint256(keccak256(abi.encode(i))) >> 200;
        value = sum;
    }

    function place() external view returns (uint256 number, uint256 time, uint256 chain, address who) {
        return (block.number, block.timestamp, block.chainid, msg.sender);
    }

    function both(Probe other, uint256 x) external returns (uint256) {
        return other.store(x);
    }

    receive() external payable {
        emit Deposited(msg.sender, msg.value, "plain");
    }
}
