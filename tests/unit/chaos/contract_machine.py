"""One contract in stock py-evm: created once, called again and again."""

from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.message import Message

from devnet.workload.objects import numbers

ADDRESS = b"\x0c" * 20
CALLER = b"\x0a" * 20
GAS = 10_000_000


class Machine:
    def __init__(self, init_code: bytes) -> None:
        chain = MiningChain.configure("One", vm_configuration=((0, PragueVM),), chain_id=1)
        header = {"difficulty": 0, "gas_limit": GAS, "timestamp": 1}
        self._state = chain.from_genesis(AtomicDB(), header).get_vm().state
        made = self._run(init_code, b"")
        assert made is not None
        self.code = made

    @property
    def number(self) -> int:
        return int(self._state.block_number)

    def call(self, data: bytes) -> bytes | None:
        """Output; None when it failed and so changed nothing."""
        return self._run(self.code, data)

    def read(self) -> list[int]:
        output = self.call(b"")
        assert output is not None
        return numbers(output)

    def _run(self, code: bytes, data: bytes) -> bytes | None:
        message = Message(
            gas=GAS,
            to=ADDRESS,
            sender=CALLER,
            value=0,
            data=data,
            code=code,
        )
        context = self._state.get_transaction_context_class()(gas_price=1, origin=CALLER)
        done = self._state.computation_class.apply_message(self._state, message, context)
        return None if done.is_error else bytes(done.output)
