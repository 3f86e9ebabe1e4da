"""Four cores (and one, and seven) glued by a queue: they decide, survive a dead leader, and
seal."""

import heapq
from collections.abc import Mapping
from typing import cast

import pytest

from dst import qbft, sealing
from dst.qbft import effects as out
from dst.qbft import inputs as into
from dst.qbft.messages import Message
from dst.sealing import effects as seal_out
from dst.sealing import inputs as seal_in
from dst.sealing.messages import PartialSignature
from dst.spec.primitives import BLSSignature, Height, OperatorIndex, Root, Term
from tests.unit.qbft.playbook import make_config, root_of

SLOT_MS = 1000
LINK_MS = 3
BUILD_MS = 10


def share(index: int, root: Root) -> BLSSignature:
    return BLSSignature(bytes([index]) + root + bytes(63))


def group(root: Root) -> BLSSignature:
    return BLSSignature(b"\xff" + root + bytes(63))


def combine(partials: Mapping[OperatorIndex, BLSSignature]) -> BLSSignature:
    (root,) = {partial[1:33] for partial in partials.values()}
    return group(Root(root))


def seal_config(me: int, n: int) -> sealing.Config:
    return sealing.Config(
        term=Term(0),
        n=n,
        self_index=OperatorIndex(me),
        combine=combine,
        verify_group=lambda root, signature: signature == group(root),
        verify_partial=lambda index, root, signature: signature == share(index, root),
    )


class Cluster:
    """Virtual time; every link delivers after LINK_MS; `dead` operators neither send nor
    receive."""

    def __init__(self, n: int, dead: frozenset[int] = frozenset()) -> None:
        self.n, self.dead, self.now, self.serial = n, dead, 0, 0
        self.queue: list[tuple[int, int, int, object]] = []
        self.configs = [make_config(i, n) for i in range(n)]
        self.states = [qbft.restore(self.configs[i], None, ()) for i in range(n)]
        self.seal_configs = [seal_config(i, n) for i in range(n)]
        self.seals = [sealing.restore(self.seal_configs[i], Height(0), {}, ()) for i in range(n)]
        self.decided: list[dict[Height, Root]] = [{} for _ in range(n)]
        self.sealed: list[dict[Height, BLSSignature]] = [{} for _ in range(n)]
        self.sealed_at: dict[Height, int] = {}
        for i in range(n):
            self.post(0, i, into.Start())
            self.post(0, i, into.HeightDue(height=Height(1)))

    def post(self, delay: int, node: int, event: object) -> None:
        self.serial += 1
        if node not in self.dead:
            heapq.heappush(self.queue, (self.now + delay, self.serial, node, event))

    def run_until(self, height: int, limit_ms: int) -> None:
        alive = [i for i in range(self.n) if i not in self.dead]
        while any(height not in self.sealed[i] for i in alive):
            assert self.queue, "nothing left to happen"
            self.now, _, node, event = heapq.heappop(self.queue)
            assert self.now <= limit_ms, f"too slow: {[len(each) for each in self.sealed]}"
            if type(event).__module__ == seal_in.__name__:
                self.seal_step(node, cast(seal_in.Input, event))
            else:
                self.qbft_step(node, cast(into.Input, event))

    def qbft_step(self, node: int, event: into.Input) -> None:
        transition = qbft.step(self.states[node], event, self.configs[node])
        self.states[node] = transition.state
        for effect in transition.effects:
            self.perform(node, effect)

    def perform(self, node: int, effect: out.Effect) -> None:
        match effect:
            case out.Broadcast():
                for peer in range(self.n):
                    if peer != node:
                        self.post(LINK_MS, peer, heard(node, effect.message))
            case out.Send():
                self.post(LINK_MS, effect.to, heard(node, effect.message))
            case out.SetTimer():
                kind = (
                    into.RoundExpired if effect.kind is out.TimerKind.ROUND else into.RetransmitDue
                )
                self.post(effect.delay_ms, node, kind(height=effect.height, round=effect.round))
            case out.RequestBlock():
                block = b"%d-%d-%d" % (effect.height, effect.round, node)
                built = into.BlockBuilt(
                    height=effect.height, round=effect.round, root=root_of(block), block=block
                )
                self.post(BUILD_MS, node, built)
            case out.ValidateBlock():
                verdict = into.BlockValidated(
                    height=effect.height, round=effect.round, root=effect.root, valid=True
                )
                self.post(BUILD_MS, node, verdict)
            case out.Decided():
                self.on_decided(node, effect)
            case out.Refused():
                pytest.fail(f"refused: {effect}")

    def on_decided(self, node: int, effect: out.Decided) -> None:
        height, root = effect.certificate.height, effect.certificate.root
        assert height not in self.decided[node]
        self.decided[node][height] = root
        slot_start = height * SLOT_MS
        due = into.HeightDue(height=Height(height + 1))
        self.post(max(0, slot_start - self.now), node, due)
        self.seal_step(node, seal_in.BlockDecided(height=height, root=root))
        own = seal_in.OwnPartial(height=height, root=root, signature=share(node, root))
        self.post(1, node, own)

    def seal_step(self, node: int, event: seal_in.Input) -> None:
        transition = sealing.step(self.seals[node], event, self.seal_configs[node])
        self.seals[node] = transition.state
        for effect in transition.effects:
            match effect:
                case seal_out.Broadcast(message=PartialSignature() as message):
                    for peer in range(self.n):
                        if peer != node:
                            came = seal_in.PartialReceived(
                                link_peer=OperatorIndex(node), message=message
                            )
                            self.post(LINK_MS, peer, came)
                case seal_out.SetTimer():
                    self.post(effect.delay_ms, node, seal_in.RetransmitDue())
                case seal_out.Sealed():
                    self.sealed[node][effect.height] = effect.signature
                    self.sealed_at.setdefault(effect.height, self.now)
                case seal_out.Refused():
                    pytest.fail(f"refused: {effect}")


def heard(node: int, message: Message) -> into.MessageReceived:
    return into.MessageReceived(link_peer=OperatorIndex(node), message=message)


def agreed(cluster: Cluster) -> None:
    for height in {h for each in cluster.decided for h in each}:
        assert len({each[height] for each in cluster.decided if height in each}) == 1
        assert len({each[height] for each in cluster.sealed if height in each}) <= 1


@pytest.mark.parametrize("n", [1, 4, 7])
def test_happy_path_decides_and_seals_every_slot(n: int) -> None:
    cluster = Cluster(n)
    cluster.run_until(20, limit_ms=20 * SLOT_MS)
    agreed(cluster)
    assert all(state.round == 0 for state in cluster.states)


@pytest.mark.parametrize("dead", [0, 1, 2, 3])
def test_a_dead_leader_costs_one_round(dead: int) -> None:
    cluster = Cluster(4, frozenset({dead}))
    cluster.run_until(20, limit_ms=30 * SLOT_MS)
    agreed(cluster)
    gaps = [cluster.sealed_at[Height(h + 1)] - cluster.sealed_at[Height(h)] for h in range(1, 20)]
    assert max(gaps) <= 2 * SLOT_MS + 200
