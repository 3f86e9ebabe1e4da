"""An image goes only when it is this checkout's and more than a day old."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from devnet.backends import docker as backend


class Images:
    """The daemon's images; `filters` as the daemon does it."""

    def __init__(self, *images: SimpleNamespace) -> None:
        self.images = list(images)

    def list(self, *, name: str, filters: dict[str, str]) -> list[Any]:
        assert name == "dst-devnet"
        return [one for one in self.images if one.label == filters["label"]]

    def remove(self, identifier: str) -> None:
        self.images = [one for one in self.images if one.id != identifier]


def _image(tag: str, source: Path, age: timedelta) -> SimpleNamespace:
    made = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    label = f"{backend.CHECKOUT_LABEL}={backend._checkout(source)}"
    return SimpleNamespace(id=tag, tags=[f"dst-devnet:{tag}"], label=label, attrs={"Created": made})


def test_only_own_images_older_than_a_day_go(tmp_path: Path) -> None:
    mine, other, old = tmp_path / "mine", tmp_path / "other", timedelta(days=2)
    images = Images(
        _image("kept", mine, old),
        _image("mine-old", mine, old),
        _image("mine-young", mine, timedelta(hours=1)),
        _image("others", other, old),
    )
    backend._remove_old_images(SimpleNamespace(images=images), "dst-devnet:kept", mine)
    assert [one.id for one in images.images] == ["kept", "mine-young", "others"]
