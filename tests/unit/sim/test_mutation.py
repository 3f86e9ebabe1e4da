"""Every field of every message that operators exchange can be lied about, and a lie is a lie."""

from random import Random
from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect

from devnet.sim import blocks, ideal
from devnet.sim.chain import CHAIN, TERM
from devnet.sim.liars import Fuzzer
from devnet.sim.mutation import BODY, ITEM, Memory, Mutator, Path, fields_of, places
from dst.middleware.wire_messages import WireMessage, decode_message, encode_message
from dst.qbft.messages import (
    Payload,
    Prepare,
    PrepareMessage,
    ProposalMessage,
    SignedPrepare,
    signing_digest,
)
from dst.sealing.messages import PartialSignature
from dst.spec.beacon import BeaconBlock, ExecutionPayload
from dst.spec.errors import InvalidInput
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Round

MESSAGES: tuple[type[msgspec.Struct], ...] = get_args(WireMessage)
ME = OperatorIndex(2)


def example(kind: inspect.Type, salt: int) -> Any:
    """Anything that the schema allows; lists have two elements, what is optional is there."""
    match kind:
        case inspect.IntType():
            return max(kind.ge or 0, 1) + salt
        case inspect.BoolType():
            return bool(salt % 2)
        case inspect.BytesType(min_length=None):
            return blocks.encode(blocks.Block(1, 1, bytes(32), 0, 0, bytes([salt])))
        case inspect.BytesType():
            return bytes([salt + 1]) * (kind.min_length or 1)
        case inspect.VarTupleType():
            return tuple(example(kind.item_type, salt + each) for each in range(2))
        case inspect.StructType():
            return message_of(kind.cls, salt)
        case inspect.UnionType():
            return example(kind.types[0], salt)
        case _:
            raise NotImplementedError(kind)


def message_of(kind: type[msgspec.Struct], salt: int = 0) -> Any:
    return kind(**{each.name: example(each.type, salt) for each in fields_of(kind)})


def mutated(message: Any, count: int) -> list[tuple[Any, Path]]:
    memory = Memory()
    for salt in range(3):
        memory.keep(message_of(type(message), salt))
    mutator = Mutator(Random(f"{type(message)}"), memory, lambda changed, field: changed)
    return [mutator.changed(message) for _ in range(count)]


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.__name__))
def test_every_field_of_every_message_has_a_mutation(kind: type[msgspec.Struct]) -> None:
    found = mutated(message_of(kind), 30_000)
    touched = {path[:length] for _, path in found for length in range(1, len(path) + 1)}
    assert touched == set(places(kind)), f"never changed: {set(places(kind)) - touched}"


def test_the_schema_is_seen_down_to_votes_in_lists_and_what_a_block_says() -> None:
    seen = set(places(ProposalMessage))
    assert ("round_changes", ITEM, "payload", "prepared_root") in seen
    assert ("block", BODY, "executes") in seen


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.__name__))
def test_a_mutation_changes_what_is_said_and_is_read_or_refused(
    kind: type[msgspec.Struct],
) -> None:
    message, read = message_of(kind), 0
    found = mutated(message, 300)
    assert all(changed != message for changed, _ in found)
    for changed, _ in found:
        try:
            read += decode_message(encode_message(changed)) == changed
        except InvalidInput:
            continue
    assert read >= 100, "most lies must get through to whom they are told"


def test_nothing_becomes_something_and_something_nothing() -> None:
    kind = next(each for each in MESSAGES if each.__name__ == "BlockReply")
    message: Any = message_of(kind)
    assert any(changed.block is None for changed, _ in mutated(message, 50))
    empty = msgspec.structs.replace(message, block=None)
    assert any(changed.block is not None for changed, _ in mutated(empty, 50))


# -------------------------------------------------------------------- the liar who uses it


class NoHands:
    term = TERM

    def strike(self, index: int) -> None: ...
    def tell(self, target: int, message: WireMessage) -> None: ...
    def hang_up(self, target: int) -> None: ...
    def sign(self, payload: Payload) -> bytes:
        return ideal.signer(ME)(signing_digest(CHAIN, payload))

    def now(self) -> float:
        return 0.0

    def root_of(self, block: bytes) -> Root:
        return blocks.root_of(block)

    def around(self, block: BeaconBlock, payload: ExecutionPayload) -> bytes:
        raise AssertionError("they are stand-ins")


def prepare(round_: int = 0, sender: OperatorIndex = ME) -> PrepareMessage:
    payload = Prepare(TERM, Height(1), Round(round_), Root(b"r" * 32))
    signature = ideal.signer(sender)(signing_digest(CHAIN, payload))
    return PrepareMessage(signed=SignedPrepare(payload, sender, signature))


def lies(count: int = 400) -> list[tuple[PrepareMessage, list[tuple[WireMessage, ...]]]]:
    """What the fuzzer tells each of the others of one PREPARE, told twice; many fuzzers."""
    told = []
    for seed in range(count):
        liar = Fuzzer(ME, 4, Random(seed), NoHands())
        for each in range(4):
            liar.hears(prepare(each, OperatorIndex(0)))
        words = [liar.say(target, prepare()) for target in (0, 1, 3)]
        assert words == [liar.say(target, prepare()) for target in (0, 1, 3)], "told again"
        told.append((prepare(), words))
    return told


def test_a_lie_is_told_to_some_and_always_the_same() -> None:
    told = [[words != (true,) for words in said] for true, said in lies()]
    assert any(not any(each) for each in told)
    assert any(any(each) and not all(each) for each in told)


def test_a_lie_is_signed_by_the_liar_or_by_nobody() -> None:
    """Never a new payload under a signature of another's that verifies."""
    own = forged = 0
    known = {prepare(each, OperatorIndex(0)).signed for each in range(4)} | {prepare().signed}
    for _, said in lies():
        for each in (message for words in said for message in words):
            assert isinstance(each, PrepareMessage)
            signed = each.signed
            digest = signing_digest(CHAIN, signed.payload)
            member = signed.sender in range(4)
            if member and ideal.verify(signed.sender, digest, signed.signature):
                own += signed not in known
                assert signed in known or signed.sender == ME
            else:
                forged += 1
    assert own >= 20
    assert forged >= 5, "wrong signatures are lies, too"


def test_a_partial_over_another_root_is_signed_for_it() -> None:
    sign = ideal.partial_signer(ME)
    roots = [Root(bytes([each]) * 32) for each in range(4)]
    sound = 0
    for seed in range(200):
        liar = Fuzzer(ME, 4, Random(seed), NoHands())
        for root in roots:
            liar.hears(
                PartialSignature(TERM, Height(1), root, OperatorIndex(0), BLSSignature(bytes(96)))
            )
        message = PartialSignature(TERM, Height(1), roots[0], ME, sign(roots[0]))
        for each in liar.say(1, message):
            assert isinstance(each, PartialSignature)
            sound += each.root != roots[0] and ideal.verify_partial(ME, each.root, each.signature)
    assert sound >= 5
