"""The container engine through the docker package: life cycle in worker threads, typed errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from agentkit.errors import EngineUnavailable, ImageError, SandboxError, SandboxGone
from agentkit.sandboxes._channel import Channel, SocketChannel
from agentkit.sandboxes._shield import shielded

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Engine", "connect"]

T = TypeVar("T")
_TIMEOUT = 60
_OLDEST = "1.30"
"""The API in which mounts came to containers (June 2017)."""


def _sockets() -> list[str]:
    """Where engines listen when DOCKER_HOST does not say: Docker, rootless, Desktop, Podman."""
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    candidates = [
        "/var/run/docker.sock",
        f"{run}/docker.sock",
        str(Path.home() / ".docker/run/docker.sock"),
        f"{run}/podman/podman.sock",
        "/run/podman/podman.sock",
    ]
    return [path for path in candidates if Path(path).exists()]


async def connect(host: str | None = None) -> Engine:
    """Find the engine and check that it answers.

    Raises:
        EngineUnavailable: none does; the message names what was tried.
    """
    # A connection that nobody gets would stay open.
    return await shielded(lambda: anyio.to_thread.run_sync(_connect, host))


def _connect(host: str | None) -> Engine:
    import docker
    from docker.errors import DockerException, InvalidVersion
    from requests.exceptions import RequestException

    environment = dict(os.environ)
    if host:
        environment["DOCKER_HOST"] = host
    found = [] if environment.get("DOCKER_HOST") else _sockets()
    if found:
        environment["DOCKER_HOST"] = f"unix://{found[0]}"
    tried = environment.get("DOCKER_HOST") or "unix:///var/run/docker.sock"

    def client(version: str) -> DockerClient:
        return docker.from_env(
            version=version,
            environment=environment,
            timeout=_TIMEOUT,
            use_ssh_client=tried.startswith("ssh:"),
        )

    try:
        return _reached(client, tried)
    except InvalidVersion as error:
        raise EngineUnavailable(
            f"the container engine is too old: {error}",
            tried=tried,
            hint=f"Docker 17.06 or newer is needed (version {_OLDEST} of its API)",
        ) from error
    except (DockerException, RequestException, OSError, ValueError) as error:
        raise EngineUnavailable(
            f"no container engine answers: {_innermost(error)}",
            tried=tried,
            hint=(
                "Start or install Docker (https://docs.docker.com/engine/install; in a checkout:"
                " scripts/ensure-docker), set DOCKER_HOST, or work without isolation with"
                " --sandbox local"
            ),
        ) from error


_KNOWN: dict[str, tuple[str, dict[str, Any]]] = {}
"""What the engine at an address said of itself, and with each answer. It asks its own parts for the
first, which takes 4 ms; whether it still answers, as the same one, takes a tenth."""


def _reached(client_of: Callable[[str], Any], address: str) -> Engine:
    """The engine, once it has answered."""
    from docker.errors import APIError, InvalidVersion
    from docker.utils import version_lt

    if known := _KNOWN.pop(address, None):
        client = client_of(known[1]["ApiVersion"])
        try:
            same = _ping(client) == known[0]
        except APIError:
            same = False  # it does not speak that version
        except BaseException:
            client.close()
            raise
        if same:
            _KNOWN[address] = known
            return Engine(client, address, known[1])
        client.close()  # another one took its place
    client = client_of("auto")
    try:
        if version_lt(client.api.api_version, _OLDEST):
            raise InvalidVersion(f"it speaks version {client.api.api_version} of the API")
        facts: dict[str, Any] = dict(client.version())
        server = _ping(client)
    except BaseException:
        client.close()
        raise
    _KNOWN[address] = server, facts
    return Engine(client, address, facts)


def _ping(client: Any) -> str:
    """Have the engine answer, with its name and version."""
    api: Any = client.api
    response = api._get(api._url("/_ping"))
    api._raise_for_status(response)
    return str(response.headers.get("Server"))


class Engine:
    """One engine. Every call runs in a worker thread and raises agentkit's errors."""

    def __init__(self, client: DockerClient, address: str, facts: Mapping[str, Any]) -> None:
        self.client = client
        self.address = address
        self.facts = facts
        """What it says of itself: ``docker version``."""

    @property
    def api(self) -> Any:
        """The docker package's low-level client, which has no type information."""
        return self.client.api

    async def call(self, work: Callable[[], T], *, container: str = "") -> T:
        """Do blocking work; the thread is not abandoned when the caller is cancelled."""

        def guarded() -> T:
            with self.errors(container):
                return work()

        return await anyio.to_thread.run_sync(guarded)

    @contextmanager
    def errors(self, container: str = "") -> Generator[None]:
        """Turn the docker package's errors into ours."""
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        try:
            yield
        except APIError as error:
            raise _api_error(error, container) from error
        except (DockerException, RequestException, OSError) as error:
            raise EngineUnavailable(
                f"the container engine stopped answering: {_innermost(error)}",
                tried=self.address,
                hint="Start it again and resume the session",
            ) from error

    async def exec(
        self,
        container: str,
        argv: list[str],
        *,
        user: str = "",
        workdir: str | None = None,
        env: dict[str, str] | None = None,
        tty: bool = False,
    ) -> tuple[Channel, str]:
        """Start a program in a running container; its stream and the exec's id."""

        def start() -> tuple[Any, str]:
            made = self.api.exec_create(
                container,
                argv,
                stdin=True,
                tty=tty,
                user=user,
                workdir=workdir,
                environment=env,
            )
            return self.api.exec_start(made["Id"], tty=tty, socket=True), made["Id"]

        raw, exec_id = await shielded(lambda: self.call(start, container=container))
        return SocketChannel(raw, tty=tty), exec_id

    async def state(self, container: str) -> dict[str, Any]:
        """The container's ``State`` as the engine tells it."""
        facts = await self.call(lambda: self.api.inspect_container(container), container=container)
        return facts["State"]

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self.client.close)


def _api_error(error: Any, container: str) -> SandboxError:
    text = str(error.explanation or error).strip()
    removed = "marked for removal" in text or "removal of container" in text
    if removed or (error.status_code == 404 and "image" not in text.lower()):
        return SandboxGone(
            f"the container {container[:12]} no longer exists",
            tried=text,
            hint="A new sandbox starts with the workspace as it is; its processes are gone",
        )
    if "no such file or directory" in text and ("exec:" in text or "/bin/sh" in text):
        return ImageError(
            "the image has no /bin/sh",
            tried=text,
            hint="Name an image with a shell; nothing else is needed in it",
        )
    if error.status_code == 409 and "is not running" in text:
        return SandboxGone(f"the container {container[:12]} is not running", tried=text)
    return SandboxError(
        f"the container engine refused: {text}",
        tried=f"container {container[:12]}" if container else "",
        hint="See the engine's own log",
    )


def _innermost(error: BaseException) -> str:
    """The cause at the bottom: urllib3 wraps the errno three times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
