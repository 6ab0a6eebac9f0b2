"""Our own backends keep the rules that we publish for others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from agentkit.sandbox import SandboxProvider
from agentkit.sandboxes import Container, Docker, Local
from agentkit.sandboxes._namespace import unavailable
from agentkit.sandboxes.images import BASE_NAME, ensure_image
from agentkit.testing.conformance import SandboxConformance

WITHOUT = unavailable()


@pytest.mark.docker
class TestDocker(SandboxConformance):
    """In bash."""

    @pytest.fixture
    def provider(self, tmp_path: Path) -> SandboxProvider:
        return Docker(workspace=tmp_path, memory="1g")


@pytest.mark.docker
class TestDockerBusybox(SandboxConformance):
    """In busybox ash, without a single GNU tool."""

    @pytest.fixture
    def provider(self, busybox_image: str, tmp_path: Path) -> SandboxProvider:
        return Docker(workspace=tmp_path, image=busybox_image)


@pytest.fixture(scope="module")
def container() -> Iterator[Any]:
    client: Any = docker.from_env()
    image = ensure_image(client, BASE_NAME, progress=print)
    container = client.containers.run(
        image, ["sleep", "infinity"], detach=True, init=True, network_mode="none"
    )
    yield container
    container.remove(force=True)
    client.close()


@pytest.mark.docker
class TestContainer(SandboxConformance):
    """In dash, in a container that somebody else runs; its tests share it."""

    @pytest.fixture
    def provider(self, container: Any, tmp_path: Path) -> SandboxProvider:
        place = f"/srv/{tmp_path.name}"
        container.exec_run(["mkdir", place])
        return Container(name=container.name, workdir=place, shell="sh")


class TestLocal(SandboxConformance):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> SandboxProvider:
        return Local(workspace=tmp_path, namespaces="off")


@pytest.mark.skipif(bool(WITHOUT), reason=f"no namespaces: {WITHOUT}")
class TestLocalNamespaces(SandboxConformance):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> SandboxProvider:
        return Local(workspace=tmp_path, namespaces="required")


class TestLocalOnTrio(SandboxConformance):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "trio"

    @pytest.fixture
    def provider(self, tmp_path: Path) -> SandboxProvider:
        return Local(workspace=tmp_path, namespaces="off")
