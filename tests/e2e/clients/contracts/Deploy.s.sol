// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {Probe} from "../src/Probe.sol";

/// The few cheatcodes that these scripts need.
interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
    function envAddress(string calldata name) external view returns (address);
    function rpc(string calldata method, string calldata params) external returns (bytes memory);
}

abstract contract WithVm {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
}

/// Deploys, with CREATE and with CREATE2 through the deterministic deployer, and sends.
contract Deploy is WithVm {
    function run() external returns (Probe plain, Probe salted) {
        vm.startBroadcast();
        plain = new Probe(5);
        plain.store(42);
        salted = new Probe{salt: keccak256("forge")}(9);
        salted.both(plain, 43);
        (bool ok,) = address(plain).call{value: 7}("");
        require(ok, "no receive");
        vm.stopBroadcast();
    }
}

/// Sends to a contract that is there already, so the chain is forked for the simulation.
contract Store is WithVm {
    function run() external {
        Probe probe = Probe(payable(vm.envAddress("PROBE")));
        require(probe.value() != 0, "nothing there");
        vm.startBroadcast();
        for (uint256 i = 1; i <= 5; i++) probe.store(100 + i);
        vm.stopBroadcast();
    }
}

/// `forge test --fork-url`: reads the chain's state and writes over it locally.
contract ForkTest is WithVm {
    function test_fork() external {
        Probe probe = Probe(payable(vm.envAddress("PROBE")));
        require(probe.value() == 105, "the chain's value");
        probe.store(7);
        require(probe.value() == 7, "written locally");
        require(block.chainid == 901, "chain id");
    }
}
