"""network.json fits its schema, survives a round trip, and holds no secret but the public test
accounts."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from devnet.model.descriptor import Descriptor, build_descriptor, read_descriptor, write_descriptor
from devnet.model.topology import compute_topology
from dst.cli.cluster import create_cluster
from dst.spec.cluster import ClusterLock
from dst.spec.errors import BadConfig

SCHEMA = json.loads((Path(__file__).parents[3] / "fixtures" / "network.schema.json").read_text())


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory) -> ClusterLock:
    return create_cluster(
        tmp_path_factory.mktemp("cluster") / "c", operators=4, chain={"dev": True}
    )


@pytest.fixture
def descriptor(lock: ClusterLock) -> Descriptor:
    topology = compute_topology(operators=4, followers=2, port_offset=1000)
    return build_descriptor(
        lock,
        topology,
        identifier="0a1b2c3d",
        backend="process",
        seed=7,
        l1_followers=frozenset({"f2"}),
    )


def test_it_fits_the_schema_and_comes_back_equal(descriptor: Descriptor, tmp_path: Path) -> None:
    path = write_descriptor(tmp_path, descriptor)
    jsonschema.validate(json.loads(path.read_text()), SCHEMA)
    assert read_descriptor(tmp_path) == descriptor
    assert descriptor.topology == compute_topology(operators=4, followers=2, port_offset=1000)


def test_it_names_its_chain_and_one_of_an_earlier_version_is_read(
    lock: ClusterLock, descriptor: Descriptor, tmp_path: Path
) -> None:
    assert descriptor.genesis_hash == "0x" + lock.chain.l2_genesis_hash.hex()
    path = write_descriptor(tmp_path, descriptor)
    tree = json.loads(path.read_text())
    del tree["genesis_hash"]
    path.write_text(json.dumps(tree))
    assert read_descriptor(tmp_path) == msgspec.structs.replace(descriptor, genesis_hash="")


def test_the_schema_itself_is_sound_and_closed(descriptor: Descriptor, tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    tree = json.loads(write_descriptor(tmp_path, descriptor).read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**tree, "surprise": 1}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**tree, "l1": {"rpc": "http://10.0.0.1:1", "toxiproxy": "x"}}, SCHEMA)


def test_urls_are_the_client_links(descriptor: Descriptor) -> None:
    assert descriptor.l1.rpc == "http://127.0.0.1:21000"
    assert descriptor.operators[0].rpc == "http://127.0.0.1:21100"
    assert descriptor.operators[0].beacon == "http://127.0.0.1:21101"
    assert descriptor.operators[0].toxiproxy == "http://127.0.0.1:21102"
    assert [f.from_l1 for f in descriptor.followers] == [False, True]


def test_a_folder_without_a_network_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="devnet up"):
        read_descriptor(tmp_path)


def test_a_broken_descriptor_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text('{"version": 1}')
    with pytest.raises(BadConfig, match=r"network\.json"):
        read_descriptor(tmp_path)
