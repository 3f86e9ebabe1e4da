"""py-evm's own computation, for differential runs, less one mistake of it (ADR 9).

py-evm takes a message for the transaction's own when its sender is the transaction's; an account
with delegated code (EIP-7702) that calls itself is that, too, and would then pay for init code
twice and forget which contracts the transaction made.
"""

from eth.vm.forks.prague.computation import PragueComputation


class StockComputation(PragueComputation):  # type: ignore[misc]
    @property
    def is_origin_computation(self) -> bool:
        return int(self.msg.depth) == 0
