"""Images for the sandbox tests, and the table of hostile commands at the end of a run."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

RESULTS: dict[tuple[str, str], str] = {}
"""(case, shell) → outcome; filled by test_hostile, here or in a worker of pytest-xdist."""

BUSYBOX = "agentkit-test-busybox:1"


@pytest.fixture(scope="session")
def busybox_image() -> str:
    """An image of one static busybox and nothing else: no bash, no GNU tools."""
    import docker

    client = docker.from_env()
    try:
        if not client.images.list(name=BUSYBOX):
            source = shutil.which("busybox") or pytest.skip("needs busybox-static on this machine")
            _import(client, Path(source))
        return BUSYBOX
    finally:
        client.close()


def _import(client: Any, source: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "workspace"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(info)
        tar.add(source, "bin/busybox")
        for name in _APPLETS.split():
            info = tarfile.TarInfo(f"bin/{name}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
    name, _, tag = BUSYBOX.partition(":")
    client.api.import_image_from_data(buffer.getvalue(), repository=name, tag=tag)


_APPLETS = """sh ash cat chmod cp date dd df dirname du echo env false find grep head id kill ln ls
mkdir mktemp mv nohup od printf ps pwd readlink rm rmdir sed seq setsid sleep sort stat sync tail
tee test timeout touch tr true uname uniq vi wc which xargs yes"""


def ours(client: Any, **labels: str) -> list[dict[str, Any]]:
    """Containers with our label and these, running or not, as the engine lists them."""
    wanted = ["agentkit.sandbox", *(f"{name}={value}" for name, value in labels.items())]
    return client.api.containers(all=True, filters={"label": wanted})


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """After all tests of this process, the engine has no container that it made."""
    yield
    import docker
    from docker.errors import DockerException

    from agentkit.sandboxes._owner import OWNER, owner_now

    try:
        client = docker.from_env()
    except DockerException:
        return
    give_up = time.monotonic() + 30
    try:
        # What is being removed is listed until it is gone.
        while (left := ours(client, **{OWNER: owner_now()})) and time.monotonic() < give_up:
            time.sleep(0.1)
        assert left == []
    finally:
        client.close()


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str], str]:
    return RESULTS


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Send a hostile case's outcome along with its report: it may have run in a worker."""
    spec = getattr(item, "callspec", None)
    if call.when == "call" and spec is not None and "case" in spec.params:
        key = (spec.params["case"].name, str(spec.params.get("sandbox", "")))
        item.user_properties.append(("hostile", [*key, RESULTS.get(key, "FAILED")]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, value in report.user_properties:
        if name == "hostile":
            case, shell, outcome = value  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
            RESULTS[str(case), str(shell)] = str(outcome)  # pyright: ignore[reportUnknownArgumentType]


def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None] | None:
    if not RESULTS:
        return
    shells = sorted({shell for _, shell in RESULTS})
    write = terminalreporter.write_line
    write("")
    write(f"{'hostile command':<34}" + "".join(f"{shell:>22}" for shell in shells))
    for case in dict.fromkeys(case for case, _ in RESULTS):
        cells = (RESULTS.get((case, shell), "-") for shell in shells)
        write(f"{case:<34}" + "".join(f"{cell:>22}" for cell in cells))
