"""Our images: built once for a content, quiet, useful; and anybody's image as it is."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from agentkit.errors import ImageError
from agentkit.sandboxes import Docker, images
from agentkit.sandboxes.docker import DockerSandbox

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

FOLDER = Path(images.__file__).parent


@pytest.fixture
def client() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


async def sh(sandbox: DockerSandbox, command: str) -> str:
    result = await sandbox.exec(command)
    return result.output.data.decode("utf-8", "replace").strip()


def test_no_image_names_a_registry() -> None:
    for path in (*FOLDER.glob("base/*"), *FOLDER.glob("node/*"), *FOLDER.glob("python/*")):
        text = path.read_text()
        assert not re.search(r"https?://|--index-url|\b\d+\.\d+\.\d+\.\d+\b", text), path
    assert len(list(FOLDER.glob("*/Dockerfile"))) == 3


def test_a_name_follows_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "images"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = {name: images.image_tag(name) for name in images.NAMES}
    monkeypatch.setattr(images, "_FOLDER", copy)
    assert {name: images.image_tag(name) for name in images.NAMES} == before
    with open(copy / "node/Dockerfile", "a") as file:
        file.write("# changed\n")
    after = {name: images.image_tag(name) for name in images.NAMES}
    assert [name for name in images.NAMES if after[name] != before[name]] == ["agentkit-node"]
    # What stands on the base changes with it.
    with open(copy / "base/Dockerfile", "a") as file:
        file.write("# changed\n")
    assert not set(after.values()) & {images.image_tag(name) for name in images.NAMES}


async def test_python_is_built_once_and_compiles(client: Any, tmp_path: Path) -> None:
    said: list[str] = []
    tag = images.ensure_image(client, "agentkit-python", progress=said.append)
    said.clear()
    assert images.ensure_image(client, "agentkit-python", progress=said.append) == tag
    assert said == [], "an image that is there is not built again"
    labels = client.images.get(tag).labels
    assert tag.endswith(labels[images.HASH_LABEL])
    (tmp_path / "m.c").write_text(
        '#include <Python.h>\nstatic struct PyModuleDef d = {PyModuleDef_HEAD_INIT, "m"};\n'
        "PyMODINIT_FUNC PyInit_m(void) { return PyModule_Create(&d); }\n"
    )
    sandbox = await Docker(workspace=tmp_path, image="agentkit-python").open("images")
    try:
        build = "gcc -shared -fPIC $(python3-config --includes) m.c -o m.so"
        assert await sh(sandbox, f"{build} && python3 -c 'import m; print(m.__name__)'") == "m"
    finally:
        await sandbox.close()


async def test_node_runs_and_npm_asks_nothing(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(
        '{"scripts": {"test": "node -e \'console.log(6 * 7)\'"}}'
    )
    sandbox = await Docker(workspace=tmp_path, image="agentkit-node").open("images")
    try:
        assert await sh(sandbox, "npm test --silent") == "42"
    finally:
        await sandbox.close()


async def test_the_base_image_is_quiet_and_complete(tmp_path: Path) -> None:
    sandbox = await Docker(workspace=tmp_path).open("images")
    try:
        programs = "bash git python3 rg ps patch make curl file less pip"
        look = f"for each in {programs}; do command -v $each >/dev/null || echo $each; done"
        assert await sh(sandbox, look) == ""
        wanted = {
            "PAGER": "cat",
            "GIT_PAGER": "cat",
            "DEBIAN_FRONTEND": "noninteractive",
            "PIP_PROGRESS_BAR": "off",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        told = dict(line.split("=", 1) for line in (await sh(sandbox, "env")).splitlines())
        assert wanted.items() <= told.items()
        log = "git init -q . && git -c user.name=a -c user.email=b commit -q --allow-empty -m x"
        assert (await sh(sandbox, f"{log} && git log --oneline")).endswith(" x")
    finally:
        await sandbox.close()


@pytest.fixture
def foreign(client: Any) -> Iterator[str]:
    """An image with a user, variables, an entry point and a folder of its own."""
    text = f"""
    FROM {images.base_image_tag()}
    RUN useradd --uid 4321 somebody && mkdir -p /srv/app && chown somebody /srv/app
    ENV PAGER=less OWN="two words" PATH=/opt/own:$PATH
    USER somebody
    WORKDIR /srv/app
    ENTRYPOINT ["/bin/false"]
    CMD ["--never"]
    """
    tag = "agentkit-test-foreign:1"
    for _ in client.api.build(fileobj=io.BytesIO(text.encode()), tag=tag, rm=True, decode=True):
        pass
    yield tag
    client.images.remove(tag, force=True)


async def test_an_image_of_ones_own_is_left_as_it_is(foreign: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    provider = Docker(workspace=tmp_path, image=foreign, workspace_mode="copy")
    sandbox = await provider.open("images")
    try:
        told = await sh(sandbox, "id -un; echo $PAGER; echo $OWN; echo $PATH; echo $GIT_PAGER; pwd")
        user, pager, own, path, quiet, here = told.splitlines()
        assert (user, pager, own, here) == ("somebody", "less", "two words", "/workspace")
        assert path.startswith("/opt/own:/")
        assert quiet == "cat", "what the image does not set itself keeps programs quiet"
        assert await sh(sandbox, "echo b >>a.txt && cat a.txt; touch /srv/app/x && echo mine") == (
            "a\nb\nmine"
        )
    finally:
        await sandbox.close()


async def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    for name in ("agentkit-nothing", "registry.invalid/no/such:1"):
        with pytest.raises(ImageError) as caught:
            await Docker(workspace=tmp_path, image=name).open("images")
        assert name in str(caught.value)
        assert caught.value.hint
