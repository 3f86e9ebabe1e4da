"""A campaign as a file: scenario x size x regions x slot x seed, read strictly, and the runs that
it asks for."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any, Final

from devnet.faults.regions import Matrix as Regions
from devnet.faults.regions import Regions as RegionsFault
from devnet.model.cluster import USUAL_SIZE, CellKey, ClusterKind, sequencers_told
from devnet.model.reading import MAX_NAME, Fields, read_integer, read_name, read_text, shown
from devnet.model.terms import Edge, Moment, Until
from devnet.model.topology import OPERATOR_COUNTS
from devnet.scenarios import catalogue
from devnet.scenarios.baselines import as_on
from devnet.scenarios.document import read_file
from devnet.scenarios.scenario import Scenario, Scheduled
from devnet.scenarios.write import scenario_yaml
from dst.spec.errors import BadConfig

VERSION: Final = 1
MAX_RUNS: Final = 100_000
MAX_SEED: Final = 2**31
NO_REGIONS: Final = "none"
KEYS: Final = (
    "campaign", "name", "about", "scenarios", "clusters", "operators", "regions", "slot_seconds",
    "seeds", "except",
)  # fmt: skip
_EXCEPT: Final = ("scenario", "operators", "regions", "slot_seconds", "cluster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One place of the matrix. scenario: as it runs there; name: as the file calls it."""

    name: str
    operators: int
    regions: str
    slot_seconds: int
    cluster: ClusterKind = ClusterKind.DST
    scenario: Scenario

    @property
    def key(self) -> CellKey:
        return (self.name, self.operators, self.regions, self.slot_seconds, self.cluster)

    def told(self) -> str:
        """`leader-kill, n = 4, world, 1 s`."""
        regions = "" if self.regions == NO_REGIONS else f", {self.regions}"
        by = sequencers_told(self.cluster, self.operators)
        return f"{self.name}, {by}{regions}, {self.slot_seconds} s"

    def digests(self, seeds: Iterable[int], backend: str, product: str) -> dict[int, str]:
        """Seed -> digest of its run."""
        text = scenario_yaml(self.scenario)
        return {
            seed: digest_of(
                text, self.operators, self.slot_seconds, backend, product, seed, self.cluster
            )
            for seed in seeds
        }


def digest_of(
    scenario: str,
    operators: int,
    slot_seconds: int,
    backend: str,
    product: str,
    seed: int,
    cluster: ClusterKind = ClusterKind.DST,
) -> str:
    """What makes two runs the same run. scenario: as written into the run's folder. product: what
    was tested, by its own digest."""
    said = repr((scenario, operators, slot_seconds, backend, product, seed, str(cluster)))
    return blake2b(said.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    name: str
    about: str
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]


def load_matrix(path: Path, clusters: Sequence[ClusterKind] = ()) -> Matrix:
    """clusters: instead of the file's. Raises: BadConfig, with file, line and reason."""
    return read_file(
        path, lambda value: parse_matrix(value, path.parent, clusters), kind="campaign"
    )


def parse_matrix(value: object, folder: Path, clusters: Sequence[ClusterKind] = ()) -> Matrix:
    """folder: of the file, from where it names scenarios. Raises: BadConfig."""
    fields = Fields(value, "", KEYS)
    if fields.required("campaign") != VERSION:
        raise BadConfig(f"campaign: this reader knows version {VERSION} of the format only")
    scenarios = _scenarios(fields, folder)
    operators = [
        read_integer(each, "operators", 1, 10) for each in _several(fields, "operators", [4])
    ]
    if wrong := [each for each in operators if each not in OPERATOR_COUNTS]:
        known = ", ".join(map(str, OPERATOR_COUNTS))
        raise BadConfig(f"operators: expected some of {known}; got {wrong[0]}")
    regions = [_region(each) for each in _several(fields, "regions", [NO_REGIONS])]
    slots = [
        read_integer(each, "slot_seconds", 1, 60) for each in _several(fields, "slot_seconds", [1])
    ]
    asked = [_cluster(each) for each in _several(fields, "clusters", [ClusterKind.DST])]
    sequenced = [
        (cluster, n)
        for cluster in dict.fromkeys(clusters or asked)
        for n in ([USUAL_SIZE[cluster]] if cluster.is_baseline else operators)
    ]
    left_out = [
        Fields(each, f"except[{i}]", _EXCEPT)
        for i, each in enumerate(_several(fields, "except", []))
    ]
    cells = tuple(
        Cell(
            name=name,
            operators=n,
            regions=region,
            slot_seconds=slot,
            cluster=cluster,
            scenario=as_on(cluster, with_regions(scenario, region, name)),
        )
        for (name, scenario), (cluster, n), region, slot in product(
            scenarios.items(), sequenced, regions, slots
        )
        if not any(_meant(each, (name, n, region, slot, cluster)) for each in left_out)
    )
    seeds = _seeds(fields.required("seeds"))
    if not 1 <= len(cells) * len(seeds) <= MAX_RUNS:
        raise BadConfig(
            f"seeds: the campaign has {len(cells) * len(seeds)} runs, not 1 to {MAX_RUNS}"
        )
    return Matrix(
        name=read_name(fields.required("name"), "name"),
        about=read_text(fields.get("about", "A campaign."), "about"),
        cells=cells,
        seeds=seeds,
    )


def _several(fields: Fields, key: str, usual: list[Any]) -> list[Any]:
    value = fields.get(key, usual)
    if not isinstance(value, list) or (fields.has(key) and not value):
        raise BadConfig(f"{key}: expected a list, got {shown(value)}")
    return value


def _scenarios(fields: Fields, folder: Path) -> dict[str, Scenario]:
    """By name; files are looked for beside the campaign's."""
    given = fields.required("scenarios")
    if given == "all":
        given = list(catalogue.names())
    if not isinstance(given, list) or not given:
        raise BadConfig(
            f"scenarios: expected all, or a list of names and files; got {shown(given)}"
        )
    found: dict[str, Scenario] = {}
    for index, each in enumerate(given):
        is_file = str(each).endswith((".yaml", ".yml"))
        try:
            scenario = catalogue.load(str(folder / str(each)) if is_file else str(each))
        except BadConfig as error:
            raise BadConfig(f"scenarios[{index}]: {error}") from error
        if scenario.name in found:
            raise BadConfig(f"scenarios[{index}]: {scenario.name} is there already")
        found[scenario.name] = scenario
    return found


def _region(value: object) -> str:
    known = (NO_REGIONS, *Regions)
    if value not in known:
        raise BadConfig(f"regions: expected some of {', '.join(known)}; got {shown(value)}")
    return str(value)


def _seeds(value: object) -> tuple[int, ...]:
    """`20`: 1 to 20; or a list of them."""
    if isinstance(value, list):
        seeds = tuple(read_integer(each, "seeds", 0, MAX_SEED) for each in value)
        if len(set(seeds)) == len(seeds) and seeds:
            return seeds
        raise BadConfig(f"seeds: expected each once, got {shown(value)}")
    return tuple(range(1, read_integer(value, "seeds", 1, MAX_RUNS) + 1))


def _cluster(value: object) -> ClusterKind:
    if value in set(ClusterKind):
        return ClusterKind(str(value))
    raise BadConfig(f"clusters: expected some of {', '.join(ClusterKind)}; got {value!r}")


def _meant(rule: Fields, where: CellKey) -> bool:
    place = dict(zip(_EXCEPT, where, strict=True))
    return all(rule.get(key, here) == here for key, here in place.items())


def with_regions(scenario: Scenario, regions: str, name: str) -> Scenario:
    """The same faults, at operators that are far apart from before the first one to the end.

    Raises: BadConfig when it has no faults beside which they could stand.
    """
    if regions == NO_REGIONS:
        return scenario
    if not scenario.faults:
        raise BadConfig(f"regions: {name} has no faults, beside which distances could stand")
    distances = Scheduled(
        id="regions", do=RegionsFault(matrix=Regions(regions)), until=Until(forever=True)
    )
    if len(f"{name}-{regions}") > MAX_NAME:
        raise BadConfig(f"regions: {name}-{regions} is longer than a name may be ({MAX_NAME})")
    stand = Moment(fault="regions", edge=Edge.INJECT)
    faults = (
        fault if fault.at.after else replace(fault, at=replace(fault.at, after=stand))
        for fault in scenario.faults
    )
    return replace(scenario, name=f"{name}-{regions}", faults=(distances, *faults))


def batches(seeds: Iterator[int], most: int) -> Iterator[tuple[int, int]]:
    """(first, how many) of seeds that follow each other: one network serves them in turn."""
    first = count = 0
    for seed in seeds:
        if count and seed == first + count and count < most:
            count += 1
            continue
        if count:
            yield first, count
        first, count = seed, 1
    if count:
        yield first, count


def schema() -> dict[str, Any]:
    """JSON Schema of a campaign."""
    name = {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"}
    sizes = {"enum": list(OPERATOR_COUNTS)}
    clusters = {"enum": list(map(str, ClusterKind))}
    regions = {"enum": [NO_REGIONS, *map(str, Regions)]}
    slot = {"type": "integer", "minimum": 1, "maximum": 60}

    def some(item: dict[str, Any], default: list[Any]) -> dict[str, Any]:
        return {"type": "array", "minItems": 1, "items": item, "default": default}

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A campaign of the devnet, format version 1",
        "description": "Each scenario at each size, place and slot, with each seed.",
        "type": "object",
        "additionalProperties": False,
        "required": ["campaign", "name", "scenarios", "seeds"],
        "properties": {
            "campaign": {"const": VERSION},
            "name": name,
            "about": {"type": "string", "minLength": 1},
            "scenarios": {
                "oneOf": [
                    {"const": "all"},
                    {"type": "array", "minItems": 1, "items": {"type": "string"}},
                ],
                "description": "Names of the catalogue, or files beside this one.",
            },
            "clusters": {
                **some(clusters, [str(ClusterKind.DST)]),
                "description": "Baselines suffer the same faults, each at its own size.",
            },
            "operators": some(sizes, [4]),
            "regions": some(regions, [NO_REGIONS]),
            "slot_seconds": some(slot, [1]),
            "seeds": {
                "oneOf": [
                    {"type": "integer", "minimum": 1, "maximum": MAX_RUNS},
                    {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
                ],
                "description": "How many, from 1 on; or which.",
            },
            "except": {
                "type": "array",
                "minItems": 1,
                "description": "Places of the matrix that are left out.",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "scenario": name,
                        "operators": sizes,
                        "regions": regions,
                        "slot_seconds": slot,
                        "cluster": clusters,
                    },
                },
            },
        },
    }
