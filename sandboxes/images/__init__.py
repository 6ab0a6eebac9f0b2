"""The images that our Docker sandbox starts from, built on first use and named by their content.

``agentkit-base:<hash>`` is built from the files in ``base/``; the hash is over those files, so the
image is built again exactly when one of them changes. ``agentkit-base:latest`` follows it.
``agentkit-python`` and ``agentkit-node`` stand on it, and their hashes cover its hash.
"""

from __future__ import annotations

import hashlib
import io
import re
import ssl
import tarfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from requests.exceptions import RequestException

from agentkit.errors import EngineUnavailable, ImageError

__all__ = [
    "BASE_NAME",
    "HASH_LABEL",
    "NAMES",
    "base_image_tag",
    "base_parent",
    "ensure_base_image",
    "ensure_image",
    "image_tag",
]

BASE_NAME = "agentkit-base"
NAMES = (BASE_NAME, "agentkit-python", "agentkit-node")
HASH_LABEL = "agentkit.image.hash"

_FOLDER = Path(__file__).parent
_BASE = _FOLDER / "base"
# Where distributions keep the bundle of trusted authorities: Debian, Fedora, Alpine and macOS.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_PROGRESS_INTERVAL = 1.0
_ERROR_LINES = 15
_LINE_WIDTH = 100
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def base_image_tag() -> str:
    """Return the name of the base image that these files describe, built or not."""
    return image_tag(BASE_NAME)


def image_tag(name: str) -> str:
    """Return the name with the hash of what one of ``NAMES`` is built from."""
    return f"{name}:{_content_hash(name)}"


def base_parent() -> str:
    """Return the image that the base image is built on."""
    dockerfile = (_BASE / "Dockerfile").read_text(encoding="utf-8")
    return next(line.split()[1] for line in dockerfile.splitlines() if line.startswith("FROM "))


def ensure_base_image(
    client: docker.DockerClient,
    *,
    progress: Callable[[str], None],
    force: bool = False,
) -> str:
    """Build the base image unless the engine has it: see ``ensure_image``."""
    return ensure_image(client, BASE_NAME, progress=progress, force=force)


def ensure_image(
    client: docker.DockerClient,
    name: str,
    *,
    progress: Callable[[str], None],
    force: bool = False,
) -> str:
    """Build one of our images, and what it stands on, unless the engine has it; its full name.

    Args:
        name: one of ``NAMES``.
        client: the engine to build on. It needs no time-out longer than the default.
        progress: called with one line at a time while the build runs; not called otherwise.
        force: build even when it exists, for example after this machine got another certificate
            authority (they go into the image but not into its hash).

    Raises:
        ImageError: the build failed.
        EngineUnavailable: the engine stopped answering.
    """
    tag = image_tag(name)
    parent = ""
    if name != BASE_NAME and (force or not _has(client, tag)):
        parent = ensure_image(client, BASE_NAME, progress=progress, force=force)
    with _engine_errors(tag):
        image: Any = None if force else _find(client, tag)
        if image is None:
            progress(f"building the sandbox image {tag} (first use; a minute or two)")
            _build(client, tag, parent, progress, nocache=force)
            image = client.images.get(tag)
        if f"{name}:latest" not in image.tags:
            image.tag(name, "latest")
    return tag


def _content_files(name: str) -> list[Path]:
    folder = _FOLDER / name.removeprefix("agentkit-")
    return sorted(path for path in folder.iterdir() if path.is_file())


def _content_hash(name: str) -> str:
    digest = hashlib.sha256()
    if name != BASE_NAME:
        digest.update(_content_hash(BASE_NAME).encode())
    for path in _content_files(name):
        content = path.read_bytes()
        # The length keeps two files apart, whatever their bytes.
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _has(client: docker.DockerClient, tag: str) -> bool:
    with _engine_errors(tag):
        return _find(client, tag) is not None


def _find(client: docker.DockerClient, tag: str) -> Any:  # the type stubs are incomplete
    try:
        return client.images.get(tag)
    except ImageNotFound:
        return None


def _build(
    client: docker.DockerClient,
    tag: str,
    parent: str,
    progress: Callable[[str], None],
    *,
    nocache: bool,
) -> None:
    records = client.api.build(
        fileobj=_context(tag.partition(":")[0]),
        buildargs={"BASE": parent} if parent else None,
        custom_context=True,
        tag=tag,
        labels={HASH_LABEL: tag.partition(":")[2]},
        rm=True,
        forcerm=True,
        nocache=nocache,
        decode=True,
        # A step may be silent for minutes while it downloads; the default limit is per read.
        timeout=1800,
    )
    shown = 0.0
    for line in _build_lines(records):
        # Every step is worth a line; of a package manager's hundreds, one a second is.
        if line.startswith("Step ") or time.monotonic() - shown >= _PROGRESS_INTERVAL:
            progress(line)
            shown = time.monotonic()


def _build_lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the build's lines, without colours and folded to one screen line each."""
    last: deque[str] = deque(maxlen=_ERROR_LINES)
    for record in records:
        if "error" in record:
            raise _build_error(str(record["error"]).strip(), list(last))
        for line in str(record.get("stream", "")).splitlines():
            if text := shorten(_ESCAPES.sub("", line), _LINE_WIDTH):
                last.append(text)
                yield text


def _build_error(error: str, last: list[str]) -> ImageError:
    hint = "Check the machine's network and disk and try again, or name another image with --image"
    # Nothing but the first step's own line came out: the parent image is what is missing.
    if len(last) <= 1:
        hint = (
            f"The engine cannot get {base_parent()}: give it access to a registry or load the"
            " image (docker load); in a checkout of agentkit on Debian, run scripts/ensure-image;"
            " or name an image that you have with --image"
        )
    lines = "".join(f"\n  {line}" for line in last)
    return ImageError(
        f"the sandbox image could not be built: {error}",
        tried=f"docker build; its last lines were{lines}" if lines else "docker build",
        hint=hint,
    )


def _context(name: str) -> io.BytesIO:
    """Return the build context as a tar archive: our files and this machine's authorities."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in _content_files(name):
            _add(tar, path.name, path.read_bytes())
        _add(tar, "host-ca.crt", _host_ca())
    buffer.seek(0)
    return buffer


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    # Fresh metadata, so that the engine's build cache does not depend on who checked out when.
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(content))


def _host_ca() -> bytes:
    # The first is SSL_CERT_FILE where that is set.
    for name in (ssl.get_default_verify_paths().cafile, *_CA_BUNDLES):
        if name and Path(name).is_file():
            return Path(name).read_bytes()
    return b""


@contextmanager
def _engine_errors(tag: str) -> Generator[None]:
    """Turn the docker package's errors into ours."""
    try:
        yield
    except (APIError, BuildError) as error:
        raise ImageError(
            f"the engine refused to build the sandbox image: {error}",
            tried=f"building {tag} from {_BASE}",
            hint="Check the engine's own log, or name another image with --image",
        ) from error
    except (DockerException, RequestException) as error:
        raise EngineUnavailable(
            f"the Docker engine stopped answering: {error}",
            tried=f"building {tag} from {_BASE}",
            hint="Start the engine (in a checkout: scripts/ensure-docker) and try again",
        ) from error
