"""A remote engine over TLS: the real engine behind a TLS endpoint of our own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit.errors import EngineUnavailable
from agentkit.sandboxes import Docker

from .streams import use_every_stream

pytestmark = pytest.mark.docker


def certificates(folder: Path) -> None:
    """One self-signed pair, used by both ends; the docker package looks for these names."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
    )  # fmt: skip
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("certificates")
    certificates(folder)
    program = Path(__file__).with_name("tls_endpoint.py")
    with subprocess.Popen(
        [sys.executable, str(program), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield f"tcp://127.0.0.1:{process.stdout.readline().strip()}", folder
        process.kill()


@pytest.fixture
def over_tls(endpoint: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> str:
    # The docker package's HTTP client would trust these instead of the engine's own authority.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(endpoint[1]))
    return endpoint[0]


async def test_every_kind_of_stream_works_over_tls(over_tls: str, tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    sandbox = await Docker(workspace=workspace, host=over_tls).open("tls")
    try:
        await use_every_stream(sandbox, tmp_path)
    finally:
        await sandbox.close()


async def test_without_a_certificate_the_engine_refuses(
    endpoint: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    monkeypatch.delenv("DOCKER_CERT_PATH", raising=False)
    with pytest.raises(EngineUnavailable, match=r"no container engine answers"):
        await Docker(workspace=tmp_path, host=endpoint[0]).open("tls")
