"""Fixtures that all rooms share, and what happens to tests that need an engine where none is."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Generator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

# A gate must not turn red by a draw: the same examples in each run. Who looks for more says
# HYPOTHESIS_PROFILE=default, and keeps what that finds with @example.
settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_configure() -> None:
    """What nohup, or a shell's background, has ignored would be ignored in all that tests start."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            is_int = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_int else signal.SIG_DFL)


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, unless a test asks for trio as well."""
    return "asyncio"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the sessions, keys or endpoints of whoever runs it."""
    home = tmp_path / "agentkit-home"
    monkeypatch.setenv("AGENTKIT_HOME", str(home))
    for name in ("DEEPSEEK_API_KEY", "AGENTKIT_BASE_URL", "AGENTKIT_DEBUG", "AGENTKIT_STORE"):
        monkeypatch.delenv(name, raising=False)
    return home


@cache
def _no_engine() -> str:
    """Why there is no engine; "" where one answers."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=10)  # pyright: ignore[reportUnknownMemberType]
        try:
            client.ping()  # pyright: ignore[reportUnknownMemberType]
        finally:
            client.close()  # pyright: ignore[reportUnknownMemberType]
    except DockerException as error:
        return str(error)
    return ""


ROOT = Path(__file__).resolve().parent.parent
LOCAL_LLM = ROOT / ".local-llm" / "pins.txt"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test's marks ask for is there, or it is skipped, or failed where it is required."""
    _wants_docker(item)
    if item.get_closest_marker("local_llm") is not None and not LOCAL_LLM.exists():
        if os.environ.get("AGENTKIT_REQUIRE_LOCAL_LLM") == "1":
            pytest.fail("a local model is required; run scripts/ensure-local-llm", pytrace=False)
        pytest.skip("no local model is installed; `make local-llm` does it")


def _wants_docker(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") is None or not _no_engine():
        return
    if os.environ.get("AGENTKIT_REQUIRE_DOCKER") == "1":
        pytest.fail(f"an engine is required and none answers: {_no_engine()}", pytrace=False)
    pytest.skip(f"no Docker engine answers: {_no_engine()}")


@cache
def _postgres_server() -> tuple[str, str]:
    """The URL of the tests' server, and why there is none."""
    if url := os.environ.get("AGENTKIT_TEST_POSTGRES", ""):
        return url, ""
    done = subprocess.run(
        [ROOT / "scripts" / "ensure-postgres"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip(), done.stderr


@pytest.fixture
def postgres_url() -> str:
    url, reason = _postgres_server()
    if not url:
        if os.environ.get("AGENTKIT_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"a PostgreSQL server is required: {reason}", pytrace=False)
        pytest.skip(f"no PostgreSQL server: {reason}")
    return url


@pytest.fixture
def postgres_database(postgres_url: str) -> Generator[str]:
    """The URL of an empty database."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
    database = str(conninfo_to_dict(postgres_url)["dbname"])
    base, found, query = postgres_url.partition("?")
    yield base.removesuffix(database) + name + found + query
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
