"""Images that no sandbox can be made of: each is refused at once, in words, and leaves nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import docker
import pytest

from agentkit.errors import ImageError
from agentkit.sandboxes import Docker

from .conftest import ours
from .images import FOREIGN_PROGRAM, load_image

pytestmark = pytest.mark.docker

WITHOUT_SHELL = "agentkit-test-without-shell:1"
FOREIGN = "agentkit-test-foreign-processor:1"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    client: Any = docker.from_env()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    load_image(
        client, WITHOUT_SHELL, {"bin/program": Path("/bin/true").read_bytes()}, architecture=machine
    )
    program = (
        FOREIGN_PROGRAM if machine == "amd64" else FOREIGN_PROGRAM.replace(b"\xb7", b"\x3e", 1)
    )
    other = {"amd64": "arm64", "arm64": "amd64"}[machine]
    load_image(client, FOREIGN, {"bin/sh": program}, architecture=other)
    yield client
    for tag in (WITHOUT_SHELL, FOREIGN):
        client.images.remove(tag, force=True)
    client.close()


@pytest.mark.parametrize("mode", ["mount", "copy"])
async def test_an_image_without_a_shell(
    client: Any, tmp_path: Path, mode: Literal["mount", "copy"]
) -> None:
    with pytest.raises(ImageError, match="has no /bin/sh") as caught:
        await Docker(workspace=tmp_path, image=WITHOUT_SHELL, workspace_mode=mode).open("no-shell")
    assert WITHOUT_SHELL in caught.value.what
    assert caught.value.hint
    assert ours(client, **{"agentkit.session": "no-shell"}) == []


@pytest.mark.parametrize("mode", ["mount", "copy"])
async def test_an_image_for_another_processor(
    client: Any, tmp_path: Path, mode: Literal["mount", "copy"]
) -> None:
    with pytest.raises(ImageError, match="for another processor") as caught:
        await Docker(workspace=tmp_path, image=FOREIGN, workspace_mode=mode).open("foreign")
    assert FOREIGN in caught.value.what
    assert caught.value.hint
    assert ours(client, **{"agentkit.session": "foreign"}) == []
