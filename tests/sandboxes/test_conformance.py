"""Our own backends keep the rules that we publish for others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from agentkit.sandbox import SandboxProvider
from agentkit.sandboxes import Container, Docker, Local
from agentkit.sandboxes._namespace import unavailable
from agentkit.testing.conformance import SandboxConformance

WITHOUT = unavailable()


@pytest.mark.docker
class TestDocker(SandboxConformance):
    @pytest.fixture(params=["auto", "sh"])
    def provider(self, request: pytest.FixtureRequest, tmp_path: Path) -> SandboxProvider:
        kind: Literal["auto", "sh"] = request.param
        return Docker(workspace=tmp_path, shell=kind, memory="1g")


@pytest.mark.docker
class TestDockerBusybox(SandboxConformance):
    @pytest.fixture
    def provider(self, busybox_image: str, tmp_path: Path) -> SandboxProvider:
        return Docker(workspace=tmp_path, image=busybox_image)


@pytest.mark.docker
class TestContainer(SandboxConformance):
    @pytest.fixture
    async def provider(self, tmp_path: Path) -> AsyncIterator[SandboxProvider]:
        owner = await Docker(workspace=tmp_path).open("owner")
        try:
            yield Container(name=owner.ref["container"], workdir="/workspace")
        finally:
            await owner.close()


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
