"""Accounts and slots that a message touches, as an EIP-2930 list."""

from dst.execution.evm import opcodes
from dst.execution.evm.precompiles import PRECOMPILES
from dst.execution.evm.tracer import Step, Tracer, to_address
from dst.spec.primitives import Address
from dst.transactions.transaction import AccessList, Transaction


class AccessListTracer(Tracer):
    """Leaves out what is warm anyway and named without slots: sender, target, precompiles."""

    watched = opcodes.ACCOUNTS | opcodes.SLOTS | opcodes.CALLS

    def __init__(self, message: Transaction, known: AccessList) -> None:
        self._warm = {message.sender, message.to, *PRECOMPILES}
        self._found: dict[Address, set[int]] = {}
        for address, slots in known:
            if address not in self._warm or slots:
                self._found.setdefault(address, set()).update(slots)

    def step(self, step: Step) -> None:
        arguments = step.top(2)
        if step.opcode in opcodes.SLOTS and arguments:
            self._found.setdefault(step.address, set()).add(arguments[0])
        elif step.opcode in opcodes.ACCOUNTS and arguments:
            self._touch(to_address(arguments[0]))
        elif step.opcode in opcodes.CALLS and len(arguments) == 2:
            self._touch(to_address(arguments[1]))

    def access_list(self) -> AccessList:
        return tuple(
            (address, tuple(sorted(slots))) for address, slots in sorted(self._found.items())
        )

    def _touch(self, address: Address) -> None:
        if address not in self._warm:
            self._found.setdefault(address, set())
