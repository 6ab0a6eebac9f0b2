"""Task folders: what is read, and what is refused with which reason."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from agentkit.errors import UsageError
from agentkit.evals.images import packed
from agentkit.evals.layouts import own
from agentkit.evals.task import Task, tree_digest
from agentkit.evals.taskset import load

from .conftest import MakeTask

FULL = """
schema_version = "1.2"
[task]
name = "org/hello"
[metadata]
difficulty = "easy"
unsolvable = true
[agent]
timeout_sec = 77
user = "worker"
[verifier]
timeout_sec = 33
user = 1000
env = { MODE = "${MODE_OF_TESTS:-strict}" }
[environment]
cpus = 2
memory = "2G"
storage_mb = 500
network_mode = "no-network"
env = { A = "1" }
workdir = "/src"
build_timeout_sec = 99
[environment.healthcheck]
command = "test -e /ready"
retries = 5
[solution]
env = { HELP = "me" }
[something_new]
x = 1
"""


def test_all_fields_of_harbor(make_task: MakeTask) -> None:
    (task,) = load(make_task(toml=FULL)).tasks
    assert (task.name, task.agent_timeout, task.agent_user, task.unsolvable) == (
        "hello",
        77,
        "worker",
        True,
    )
    environment, grading = task.environment, task.grading
    assert (environment.cpus, environment.memory_mb, environment.storage_mb) == (2, 2048, 500)
    assert (environment.network, environment.workdir, environment.build_timeout) == (
        "no-network",
        "/src",
        99,
    )
    assert environment.env == {"A": "1"}
    assert environment.healthcheck is not None
    assert environment.healthcheck.retries == 5
    assert (grading.timeout, grading.user, grading.env) == (33, "1000", {"MODE": "strict"})
    assert task.solution_env == {"HELP": "me"}
    assert task.solution is not None


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("[[steps]]\nname = 'a'\n", "several steps"),
        ("[verifier]\nenvironment_mode = 'separate'\n", "a container of their own"),
        ("[environment]\ngpus = 1\n", "accelerator"),
        ("[environment]\nos = 'windows'\n", "windows"),
        ("[environment]\nnetwork_mode = 'some'\n", "none of public"),
        ("[environment]\nmemory = 'lots'\n", "memory must be a size"),
        ("[agent]\ntimeout_sec = -1\n", "above 0"),
        ("[agent]\ntimeout_sec = 'long'\n", "above 0"),
        ("agent = 3\n", r"\[agent\] must be a table"),
        ("= nonsense", "cannot be read"),
        ("[environment]\nenv = { A = '${SURELY_NOT_SET}' }\n", "SURELY_NOT_SET"),
        ("[verifier]\nnetwork_mode = 'no-network'\n", "one container cannot have both"),
    ],
)
def test_what_is_refused(make_task: MakeTask, toml: str, reason: str) -> None:
    found = load(make_task(toml=toml))
    assert not found.tasks
    with pytest.raises(UsageError, match=reason):
        raise UsageError(found.refused[0].reason)


def test_compose_is_refused_and_the_others_still_run(make_task: MakeTask) -> None:
    composed = make_task("composed")
    (composed / "environment" / "docker-compose.yaml").write_text("services: {}")
    make_task("plain")
    found = load(composed.parent)
    assert [task.name for task in found.tasks] == ["plain"]
    assert "docker compose" in found.refused[0].reason


def test_a_task_without_tests_is_refused(make_task: MakeTask) -> None:
    assert "tests/test.sh" in load(make_task(test=None)).refused[0].reason


def test_an_empty_instruction_is_refused(make_task: MakeTask) -> None:
    assert "is empty" in load(make_task(instruction=" \n")).refused[0].reason


def test_empty_or_missing_sets(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no task in"):
        load(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        load(tmp_path / "nowhere")


def test_only_some(make_task: MakeTask) -> None:
    make_task("one")
    folder = make_task("two").parent
    assert [task.name for task in load(folder, only=["t*"]).tasks] == ["two"]
    with pytest.raises(UsageError, match="There are: one, two"):
        load(folder, only=["three"])


def test_own_layout(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    (folder / "workspace").mkdir(parents=True)
    (folder / "task.toml").write_text('checks = ["true", "test -e x"]\ntimeout = 5\n')
    (folder / "instruction.md").write_text("Make x")
    (task,) = load(folder).tasks
    assert task.grading.checks == ("true", "test -e x")
    assert task.environment.workspace == folder / "workspace"
    assert task.environment.network == "no-network"
    (folder / "task.toml").write_text('checks = ["true"]\ntimout = 5\n')
    assert "'timout'" in load(folder).refused[0].reason
    with pytest.raises(UsageError) as refused:
        own.read(folder)
    for name in refused.value.hint.removeprefix("Known: ").split(", "):
        assert f"``{name}``" in str(own.__doc__) or f"{name} = " in str(own.__doc__)


YAML = """
instruction: |-
  Write hello.
max_agent_timeout_sec: 120.0
max_test_timeout_sec: 30
parser_name: pytest
difficulty: easy
"""
COMPOSE = """
services:
  client:
    build: { dockerfile: Dockerfile }
    environment: [ "TEST_DIR=${T_BENCH_TEST_DIR}", "COLOR=blue" ]
"""


@pytest.fixture
def first_generation(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    (folder / "tests").mkdir(parents=True)
    (folder / "task.yaml").write_text(YAML)
    (folder / "Dockerfile").write_text("FROM agentkit-base:latest\nWORKDIR /app\n")
    (folder / "docker-compose.yaml").write_text(COMPOSE)
    (folder / "run-tests.sh").write_text("#!/bin/bash\npytest $TEST_DIR/test_outputs.py -rA\n")
    (folder / "solution.sh").write_text("#!/bin/bash\necho hello >hello.txt\n")
    (folder / "tests" / "test_outputs.py").write_text(
        "def test_it(): assert 'hello' in open('/app/hello.txt').read()\n"
    )
    return folder


def test_terminal_bench_1(first_generation: Path) -> None:
    (task,) = load(first_generation).tasks
    assert (task.agent_timeout, task.grading.timeout, task.grading.judge) == (120, 30, "pytest")
    assert task.environment.env["COLOR"] == "blue"


def sent(task: Task) -> set[str]:
    """The names that an image's build gets to see."""
    assert task.environment.context is not None
    with packed(task.environment) as archive, tarfile.open(fileobj=archive) as tar:
        return {name.removeprefix("./") for name in tar.getnames()}


def test_no_build_sees_the_tests_or_the_solution(first_generation: Path) -> None:
    (task,) = load(first_generation).tasks
    assert sent(task) == {"Dockerfile", "docker-compose.yaml"}


def test_what_an_environment_calls_tests_and_solution_is_built(make_task: MakeTask) -> None:
    folder = make_task()
    for name in ("tests/unit.py", "solution/notes.txt", "task.yaml"):
        path = folder / "environment" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("the project's own")
    (folder / "environment" / ".dockerignore").write_text("# not needed\ntask.yaml\n")
    (task,) = load(folder).tasks
    names = sent(task)
    assert {"Dockerfile", "tests/unit.py", "solution/notes.txt"} <= names
    assert "task.yaml" not in names


def test_terminal_bench_1_with_more_services(first_generation: Path) -> None:
    path = first_generation / "docker-compose.yaml"
    path.write_text(COMPOSE + "  database: { image: postgres }\n")
    assert "2 services" in load(first_generation).refused[0].reason


def test_the_digest_sees_contents_and_names(make_task: MakeTask) -> None:
    folder = make_task()
    before = tree_digest(folder)
    assert tree_digest(folder) == before
    (folder / "tests" / "test.sh").chmod(0o755)
    runs = tree_digest(folder)
    (folder / "instruction.md").rename(folder / "other.md")
    assert len({before, runs, tree_digest(folder)}) == 3
