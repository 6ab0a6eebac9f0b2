"""Trials on a real Ray cluster of two nodes on this machine, one of them killed in mid-job."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError

from tests.cli.conftest import Cli, cli, command, environment
from tests.sandboxes.conftest import ours

from .conftest import MakeTask
from .test_jobs import leftovers, results

__all__ = ["cli"]
pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]


@pytest.fixture
def cluster() -> Iterator[Any]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    utils: Any = pytest.importorskip("ray.cluster_utils", reason="needs the extra ray")
    two = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    two.second = two.add_node(num_cpus=2)
    two.wait_for_nodes()
    yield two
    two.shutdown()


def verdicts(job: Path) -> dict[str, Any]:
    return {
        each["trial_name"]: (each["verifier_result"], each["exception_info"])
        for each in results(job)
    }


def wait_for(true: Callable[[], bool], seconds: float = 120) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.1)


@contextmanager
def gates_opened(*jobs: Path) -> Generator[None]:
    """The slow trials of these jobs need not wait any longer, in whatever container they run."""
    done = threading.Event()

    def work() -> None:
        client: Any = docker.from_env()
        while not done.wait(0.1):
            names = {path.name for job in jobs for path in job.glob("[ab]__*")}
            for each in ours(client):
                if each["Labels"]["agentkit.sandbox"] in names:
                    with suppress(APIError):  # it may have ended meanwhile
                        client.containers.get(each["Id"]).exec_run(["touch", "/go"])
        client.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_two_nodes_one_killed_and_the_same_verdicts_as_on_one_machine(
    cluster: Any, cli: Cli, make_task: MakeTask, tmp_path: Path
) -> None:
    slow = "until [ -e /go ]; do sleep 0.1; done; echo hello >hello.txt\n"
    make_task("a", solution=slow)
    make_task("b", solution=slow)
    make_task("c", solution="echo nothing\n")
    tasks = make_task("d").parent
    job = tmp_path / "cluster"
    line = ["eval", str(tasks), "--agent", "oracle", "--job", str(job), "-n", "4"]
    said = tmp_path / "said"
    with said.open("wb") as output:
        started = subprocess.Popen(
            command([*line, "--engine", "ray"]),
            env=environment({"RAY_ADDRESS": cluster.address}),
            stdout=output,
            stderr=output,
        )
    name = cluster.second.node_id[:8]

    def logs() -> list[Path]:
        return list(job.glob("[ab]__*/trial.log"))

    def both_run() -> bool:
        names = {log.parent.name for log in logs()}
        return len(names) == 2 and names <= set(leftovers())

    try:
        # The containers of both slow trials run: what is killed is work in the middle.
        wait_for(lambda: both_run() or started.poll() is not None)
        lost = [log.parent for log in logs() if name in log.read_text()]
        cluster.remove_node(cluster.second, allow_graceful=False)
        with gates_opened(job, tmp_path / "alone"):
            code = started.wait(150)
            alone = cli(*line[:5], str(tmp_path / "alone"))
    finally:
        started.kill()
        started.wait()
    assert code == 1, said.read_text()  # the oracle of c does not solve it
    assert lost
    for folder in lost:
        assert "was lost" in (folder / "trial.log").read_text()
    assert alone.code == 1, alone.err
    assert verdicts(job) == verdicts(tmp_path / "alone")
    assert json.loads((job / "result.json").read_text())["stats"]["n_completed_trials"] == 4
    # The lost node's container is removed by the next trial on this machine, or by the next job.
    assert not {path.name for path in job.glob("*__*")} & set(leftovers())


def test_without_ray_it_says_what_to_install(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "ray").mkdir(parents=True)
    (hidden / "ray" / "__init__.py").write_text("raise ImportError('hidden for a test')")
    arguments = ["eval", str(make_task()), "--agent", "nop", "--job", str(tmp_path / "job")]
    ran = cli(*arguments, "--engine", "ray", env={"PYTHONPATH": str(hidden)})
    assert ran.code == 2
    assert "pip install 'agentkit-deepseek[ray]'" in ran.err
