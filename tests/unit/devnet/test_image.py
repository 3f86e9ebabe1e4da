"""What goes into the image that is made from this machine's Python."""

import os
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from devnet.backends.image import write_image_tar


def test_an_image_holds_each_path_once_and_none_of_this_checkout() -> None:
    with tempfile.TemporaryFile() as out:
        write_image_tar(out, {}, Path(__file__).parents[3])
        out.seek(0)
        with tarfile.open(fileobj=out) as tar:
            names = [entry.name for entry in tar]
    assert all(name == os.path.normpath(name) for name in names)
    assert len(set(names)) == len(names)
    packages = sysconfig.get_path("platlib").lstrip("/")
    assert not [name for name in names if name.startswith(packages)]
