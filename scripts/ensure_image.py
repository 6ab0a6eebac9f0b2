"""Make sure that the engine has our sandbox image, also where no image registry can be reached.

Without a registry, Debian's own packages are the way to the parent image: ``bootstrap-debian``
builds its file system, and this script hands it to the engine under the name that a pull would
have given it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

from agentkit.errors import ImageError, SandboxError
from agentkit.sandboxes.images import base_image_tag, base_parent, ensure_base_image

SCRIPTS = Path(__file__).parent
# Silence from a registry for so long means that it cannot be reached.
PULL_SILENCE = 20


def main() -> int:
    """Run the script; return its exit code."""
    started = time.monotonic()
    try:
        client = docker.from_env(timeout=60)
        if not _has(client, base_image_tag()):
            _ensure_parent(client)
        tag = ensure_base_image(client, progress=_say)
    except SandboxError as error:
        print(f"\nagentkit: {error}", file=sys.stderr)
        return 1
    except (DockerException, RequestException) as error:
        print(
            f"\nagentkit: no Docker engine answers: {error}"
            f"\n  tried: {os.environ.get('DOCKER_HOST', 'the default socket')}"
            "\n  next:  run scripts/ensure-docker",
            file=sys.stderr,
        )
        return 1
    if time.monotonic() - started > 1:
        _say(f"{tag} is ready ({time.monotonic() - started:.0f} s)")
    return 0


def _ensure_parent(client: docker.DockerClient) -> None:
    parent = base_parent()
    if _has(client, parent):
        return
    _say(f"pulling {parent}")
    if reason := _pull(parent):
        _say(f"no registry gave us {parent} ({reason}); building it from Debian's packages")
        _import_debian(client, parent)


def _pull(image: str) -> str:
    """Pull an image; return why that failed, or "" when it did not."""
    # A client of its own: for this one call, silence must be noticed quickly.
    puller = docker.from_env(timeout=PULL_SILENCE)
    try:
        puller.images.pull(image)
    except (DockerException, RequestException) as error:
        return str(getattr(error, "explanation", None) or error)
    finally:
        puller.close()
    return ""


def _import_debian(client: docker.DockerClient, image: str) -> None:
    name, _, tag = image.partition(":")
    # Not /tmp: it may be a small memory disk.
    with tempfile.TemporaryDirectory(prefix="agentkit-", dir="/var/tmp") as folder:
        archive = Path(folder, "root.tar")
        done = subprocess.run([SCRIPTS / "bootstrap-debian", archive], check=False)
        if done.returncode != 0:
            raise ImageError(f"{image} could not be pulled, nor built here (the reason is above)")
        _say(f"importing it as {image}")
        api: Any = client.api  # the package's type stubs leave this call's types unknown
        answer = api.import_image_from_file(
            str(archive), repository=name, tag=tag, changes=['CMD ["bash"]']
        )
    if not _has(client, image):
        raise ImageError(f"the engine did not take the Debian image: {answer}")


def _has(client: docker.DockerClient, image: str) -> bool:
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def _say(line: str) -> None:
    print(f"==> {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
