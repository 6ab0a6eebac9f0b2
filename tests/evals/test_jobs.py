"""Whole jobs, with real containers, through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.cli.conftest import Cli, cli, command, environment

from .conftest import TEST, MakeTask

__all__ = ["cli"]
pytestmark = pytest.mark.docker
SHORT = "[verifier]\ntimeout_sec = 1\n"
WRITE = Reply(calls=[Call("bash", {"command": "echo hello >hello.txt"})])


def results(job: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(job.glob("*__*/result.json"))]


def own(result: dict[str, Any]) -> dict[str, Any]:
    return result["agent_result"]["metadata"]["agentkit"]


def leftovers() -> list[str]:
    """Containers of trials that are still there."""
    import docker

    client = docker.from_env()
    try:
        api: Any = client.api
        found: list[Any] = api.containers(all=True, filters={"label": "agentkit.sandbox"})
        return [str(each["Labels"]["agentkit.sandbox"]) for each in found]
    finally:
        client.close()  # pyright: ignore[reportUnknownMemberType]


def test_oracle_and_nop(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    make_task("good")
    unsolvable = 'version = "1.0"\n[metadata]\nunsolvable = true\n'
    tasks = make_task("never", toml=unsolvable, test=TEST.replace("hello /", "nobody /")).parent
    job = tmp_path / "job"
    ran = cli("eval", str(tasks), "--agent", "oracle", "--job", str(job))
    assert ran.code == 0, ran.err
    assert "2/2 tasks are as they should be" in ran.out
    good, never = results(job)
    assert good["verifier_result"]["rewards"] == {"reward": 1.0}
    assert never["verifier_result"]["rewards"] == {"reward": 0.0}
    assert (job / "report.html").read_text().startswith("<!doctype html>")
    nothing = cli("eval", str(tasks), "--agent", "nop", "--job", str(tmp_path / "nop"))
    assert nothing.code == 0, nothing.err
    assert all(
        each["verifier_result"]["rewards"] == {"reward": 0.0} for each in results(tmp_path / "nop")
    )


def test_a_task_set_that_needs_no_work_is_found_out(
    cli: Cli, make_task: MakeTask, tmp_path: Path
) -> None:
    done = "FROM agentkit-base:latest\nWORKDIR /work\nRUN echo hello >hello.txt\n"
    ran = cli(
        "eval", str(make_task(dockerfile=done)), "--agent", "nop", "--job", str(tmp_path / "job")
    )
    assert ran.code == 1
    assert "0/1 tasks are as they should be" in ran.out


def test_two_ladders_side_by_side(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    folder = make_task(toml='version = "1.0"\n[agent]\ntimeout_sec = 60\n')

    def answer(request: dict[str, Any]) -> Reply | str:
        if request["model"] == "deepseek-flash":  # claims what it has not done
            return "All done."
        return "Written." if request["messages"][-1]["role"] == "tool" else WRITE

    with FakeDeepSeek(answer) as server:
        arguments = [
            "--ladder",
            "flash",
            "--ladder",
            "pro",
            "-k",
            "2",
            "--base-url",
            server.base_url,
        ]
        ran = cli("eval", str(folder), *arguments, "--job", str(tmp_path / "job"))
    assert ran.code == 0, ran.err
    table = {own(each)["contestant"]["ladder"]: each for each in results(tmp_path / "job")}
    assert table["flash"]["verifier_result"]["rewards"] == {"reward": 0.0}
    assert own(table["flash"])["report"]["claims_success"]
    assert table["pro"]["verifier_result"]["rewards"] == {"reward": 1.0}
    assert table["pro"]["agent_result"]["cost_usd"] > 0
    lines = [line for line in ran.out.splitlines() if line.startswith(("| flash  ", "| pro  "))]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert [row[2] for row in cells] == ["0/2", "2/2"]
    assert [row[8] for row in cells] == ["2", "0"], "false successes"
    assert "| flash / pro | 0 " in ran.out


def test_graded_after_a_timeout_with_the_service_still_up(
    cli: Cli, make_task: MakeTask, tmp_path: Path
) -> None:
    """The agent starts a server and sleeps past its deadline; the tests still reach the server."""
    serve = "cd /tmp && (python3 -m http.server 8123 >/dev/null 2>&1 &) ; sleep 1; echo up"
    script = [
        Reply(calls=[Call("bash", {"command": serve})]),
        Reply(calls=[Call("bash", {"command": "sleep 300"})]),
    ]
    test = (
        "#!/bin/bash\nmkdir -p /logs/verifier\n"
        "if curl -sf http://127.0.0.1:8123/ >/dev/null; then r=1; else r=0; fi\n"
        "echo $r >/logs/verifier/reward.txt\n"
    )
    folder = make_task(toml='version = "1.0"\n[agent]\ntimeout_sec = 6\n', test=test)
    with FakeDeepSeek(script) as server:
        ran = cli(
            "eval", str(folder), "--base-url", server.base_url, "--job", str(tmp_path / "job")
        )
    assert ran.code == 0, ran.err
    (result,) = results(tmp_path / "job")
    assert result["exception_info"]["exception_type"] == "AgentTimeoutError"
    assert result["verifier_result"]["rewards"] == {"reward": 1.0}
    assert not own(result)["report"]["claims_success"]


def test_the_agent_sees_neither_tests_nor_solution_nor_an_old_verdict(
    cli: Cli, make_task: MakeTask, tmp_path: Path
) -> None:
    look = (
        "ls -d /tests /solution; mkdir -p /tests /logs/verifier; echo 1 >/logs/verifier/reward.txt"
    )
    script = [Reply(calls=[Call("bash", {"command": look})]), "I looked."]
    with FakeDeepSeek(script) as server:
        job = tmp_path / "job"
        ran = cli("eval", str(make_task()), "--base-url", server.base_url, "--job", str(job))
        seen = json.dumps(server.requests[-1].body)
    assert ran.code == 0, ran.err
    assert "cannot access '/tests'" in seen
    assert "cannot access '/solution'" in seen
    assert results(job)[0]["verifier_result"]["rewards"] == {"reward": 0.0}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"dockerfile": "FROM agentkit-base:latest\nRUN exit 7\n"}, "SandboxBuildFailedError"),
        ({"toml": "[environment]\ndocker_image = 'not/there:1'\n"}, "SandboxBuildFailedError"),
        ({"test": "#!/bin/bash\ntrue\n"}, "RewardFileNotFoundError"),
        ({"test": "#!/bin/bash\nsleep 60\n", "toml": SHORT}, "VerifierTimeoutError"),
    ],
)
def test_what_cannot_be_judged_is_no_success_and_no_failure(
    cli: Cli, make_task: MakeTask, tmp_path: Path, change: dict[str, str], kind: str
) -> None:
    job = tmp_path / "job"
    ran = cli(
        "eval", str(make_task(**change)), "--agent", "oracle", "--job", str(job), "--retries", "0"
    )
    assert ran.code == 1
    assert results(job)[0]["exception_info"]["exception_type"] == kind


FACTS = """\
(id -un; pwd; echo $FLAVOUR; ls /sys/class/net
cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null) >facts.txt
cp facts.txt /logs/artifacts
"""


def test_image_user_workdir_and_limits_are_kept(
    cli: Cli, make_task: MakeTask, tmp_path: Path
) -> None:
    dockerfile = (
        "FROM agentkit-base:latest\nRUN useradd -m worker && install -d -o worker /src\n"
        "ENV FLAVOUR=mint\nUSER worker\nWORKDIR /src\n"
    )
    toml = "[environment]\ncpus = 1\nmemory_mb = 300\nnetwork_mode = 'no-network'\n"
    test = TEST.replace("/work/hello.txt", "/src/facts.txt").replace("hello", "worker")
    folder = make_task(toml=toml, dockerfile=dockerfile, solution=FACTS, test=test)
    job = tmp_path / "job"
    ran = cli("eval", str(folder), "--agent", "oracle", "--job", str(job))
    assert ran.code == 0, ran.err
    (path,) = job.glob("*/artifacts/facts.txt")
    assert path.read_text().split() == ["worker", "/src", "mint", "lo", str(300 << 20)]


def test_the_storage_limit_ends_what_passes_it(
    cli: Cli, make_task: MakeTask, tmp_path: Path
) -> None:
    toml = "[environment]\nstorage_mb = 50\n"
    many = "for i in $(seq 1000); do head -c 1000000 /dev/zero >f$i; sleep 0.01; done"
    one = "head -c 60000000 /dev/zero >big; stat -c %s big"
    script = [
        Reply(calls=[Call("bash", {"command": one})]),
        Reply(calls=[Call("bash", {"command": f"rm big; {many}; echo all written"})]),
        "The disk is full.",
    ]
    with FakeDeepSeek(script) as server:
        arguments = ["--base-url", server.base_url, "--job", str(tmp_path / "job")]
        ran = cli("eval", str(make_task(toml=toml)), *arguments)
        seen = [request.body["messages"][-1]["content"] for request in server.requests]
    assert ran.code == 0, ran.err
    assert str(50 << 20) in seen[1]
    assert "all written" not in seen[2]
    assert "disk" in seen[2]


def test_an_allow_list_is_enforced(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    """A host on the list is refused only by the world beyond the proxy, all others by the proxy."""
    toml = "[environment]\nnetwork_mode = 'allowlist'\nallowed_hosts = ['good.invalid']\n"
    ask = "for h in good bad; do curl -s -o /dev/null -w '%{http_code} ' http://$h.invalid/; done"
    direct = "curl -s -m 3 -o /dev/null --noproxy '*' http://192.0.2.1/ || printf cut"
    solution = f"({ask}; {direct}) >/logs/artifacts/codes.txt; echo hello >hello.txt\n"
    job = tmp_path / "job"
    folder = make_task(toml=toml, solution=solution)
    ran = cli("eval", str(folder), "--agent", "oracle", "--job", str(job))
    assert ran.code == 0, ran.err
    (path,) = job.glob("*/artifacts/codes.txt")
    good, bad, straight = path.read_text().split()
    assert (bad, straight) == ("403", "cut")
    assert good != "403"


def test_a_killed_job_goes_on_where_it_was(make_task: MakeTask, tmp_path: Path, cli: Cli) -> None:
    """SIGKILL after the first verdict; the second run does the rest, and nothing twice."""
    make_task("a-quick")
    tasks = make_task("b-slow", solution="sleep 3; echo hello >hello.txt\n").parent
    job = tmp_path / "job"
    line = command(["eval", str(tasks), "--agent", "oracle", "--job", str(job), "-n", "1"])
    process = subprocess.Popen(line, env=environment({}), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for text in process.stderr:
        if text.startswith("b-slow"):
            break
    _wait_for(
        lambda: any("agent works" in each.read_text() for each in job.glob("b-slow__*/trial.log"))
    )
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stderr.close()
    first = {path: path.stat().st_mtime_ns for path in job.glob("*/result.json")}
    assert len(first) == 1
    ran = cli("eval", str(tasks), "--agent", "oracle", "--job", str(job))
    assert ran.code == 0, ran.err
    assert "going on: 1 of 2 trials are finished" in ran.err
    assert all(path.stat().st_mtime_ns == moment for path, moment in first.items())
    assert len(results(job)) == 2
    ours = [path.name for path in job.glob("*__*")]
    assert not set(ours) & set(leftovers())


def _wait_for(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_two_processes_in_one_folder_and_two_jobs(
    cli: Cli, make_task: MakeTask, tmp_path: Path
) -> None:
    folder, job = make_task(), tmp_path / "job"
    assert cli("eval", str(folder), "--agent", "nop", "--job", str(job)).code == 0
    other = cli("eval", str(folder), "--agent", "oracle", "--job", str(job))
    assert other.code == 2
    assert "holds another job: its contestants differ" in other.err
    import fcntl

    with (job / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = cli("eval", str(folder), "--agent", "nop", "--job", str(job))
    assert busy.code == 2
    assert "another process is at work" in busy.err


def test_the_money_limit_of_a_job_holds(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    folder = make_task()

    def answer(request: dict[str, Any]) -> Reply | str:
        return Reply(calls=[Call("bash", {"command": f"echo {len(request['messages'])}"})])

    with FakeDeepSeek(answer) as server:
        arguments = ["-k", "3", "-n", "1", "--max-cost", "0.0015", "--base-url", server.base_url]
        ran = cli("eval", str(folder), *arguments, "--job", str(tmp_path / "job"))
        again = cli("eval", str(folder), *arguments, "--job", str(tmp_path / "job"))
        spent = sum(each["agent_result"]["cost_usd"] for each in results(tmp_path / "job"))
    assert (ran.code, again.code) == (3, 3), ran.err
    assert "money limit of $0.0015" in ran.out
    assert spent == 0, "a trial that the job's limit cut short is no verdict"
    line, *_ = (tmp_path / "job" / "discarded.jsonl").read_text().splitlines()
    assert 0 < json.loads(line)["cost_usd"] <= 0.0015


def test_the_limit_of_turns_is_the_agents_own(
    cli: Cli, make_task: MakeTask, tmp_path: Path
) -> None:
    """Also where the job has less money than one trial may spend."""
    script = [Reply(calls=[Call("bash", {"command": f"echo {number}"})]) for number in range(3)]
    job = tmp_path / "job"
    with FakeDeepSeek(script) as server:
        arguments = ["--max-turns", "2", "--max-cost", "1", "--base-url", server.base_url]
        ran = cli("eval", str(make_task()), *arguments, "--job", str(job))
    assert ran.code == 0, ran.err
    (result,) = results(job)
    assert result["exception_info"]["exception_type"] == "BudgetExceededError"
    assert "the turns limit was reached (2 of 2)" in result["exception_info"]["exception_message"]
    assert own(result)["fault"]["cause"] == "turns"


def test_without_an_engine(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    arguments = ["eval", str(make_task()), "--agent", "nop", "--job", str(tmp_path / "job")]
    ran = cli(*arguments, env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    assert ran.code == 5
    assert "no container engine answers" in ran.err


def test_ctrl_c_leaves_no_container_and_a_job_that_goes_on(
    make_task: MakeTask, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    folder = make_task("interrupted", solution="sleep 60\n")
    line = command(["eval", str(folder), "--agent", "oracle", "--job", str(job)])
    process = subprocess.Popen(line, env=environment({}), stderr=subprocess.PIPE, text=True)
    _wait_for(lambda: any("agent works" in each.read_text() for each in job.glob("*/trial.log")))
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "go on with the same command" in err
    assert "Traceback" not in err
    assert not {path.name for path in job.glob("*__*")} & set(leftovers())
