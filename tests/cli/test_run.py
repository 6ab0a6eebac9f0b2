"""``agentkit run`` as its users meet it: a task solved, and everything that can go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply

from .conftest import Cli, command, environment
from .plain_server import PlainServer

FIX = {
    "command": "str_replace",
    "path": "calc.py",
    "old_str": "return a - b",
    "new_str": "return a + b",
}
STEPS: list[dict[str, Any]] = [
    {"calls": [{"name": "bash", "arguments": {"command": "python3 -m pytest -q"}}]},
    {"calls": [{"name": "str_replace_editor", "arguments": FIX}]},
    {"content": "The sign was wrong; the test passes now."},
]
CHECK = "python3 -m pytest -q"


def bash(text: str) -> Reply:
    return Reply(calls=[Call("bash", {"command": text})])


def local(workspace: Path, server: Any) -> list[str]:
    url = server.url if isinstance(server, PlainServer) else server.base_url
    where = ["--workspace", str(workspace), "--sandbox", "local", "--approve", "auto"]
    return [*where, "--base-url", url]


@pytest.mark.docker
def test_a_failing_test_is_mended_in_a_container_with_a_server_that_is_not_ours(
    cli: Cli, workspace: Path
) -> None:
    before = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=workspace, check=False)
    assert before.returncode == 1
    with PlainServer(STEPS) as server:
        arguments = ["--workspace", str(workspace), "--sandbox", "docker", "--json"]
        ran = cli("run", "Mend it", *arguments, "--base-url", server.url, "--check", CHECK)
    assert ran.code == 0, ran.err
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "session.finished"
    assert events[-1]["status"] == "finished"
    assert [each["passed"] for each in events[-1]["checks"]] == [True]
    after = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=workspace, check=False)
    assert after.returncode == 0
    assert (workspace / "calc.py").stat().st_uid == os.getuid()


def test_plain_output_tells_the_story(cli: Cli, workspace: Path) -> None:
    with PlainServer(STEPS) as server:
        ran = cli("run", "Mend it", *local(workspace, server))
    assert ran.code == 0, ran.err
    text = ran.out + ran.err
    assert "The sign was wrong" in text
    assert "calc.py" in text
    assert "finished" in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", ""], 2, "the task is empty"),
        (["run", "@/no/such/file"], 2, "does not exist"),
        (["run", "x", "--workspace", "/no/such/folder"], 2, "does not exist"),
        (["run", "x", "--workspace", "/etc/passwd"], 2, "is a file"),
        (["run", "x", "--workspace", "/"], 2, "not a project's folder"),
        (["run", "x", "--preset", "gold"], 2, "coder, minimal"),
        (["run", "x", "--ladder", "gold"], 2, "flash-pro"),
        (["run", "x", "--sandbox", "cloud"], 2, "docker"),
        (["run", "x", "--max-cost", "-1"], 2, ""),
        (["run", "x", "--network", "allow:"], 2, "names no host"),
        (["run", "x", "--planner", "7", "--ladder", "flash-pro"], 2, "rungs"),
        (["run", "x", "--planner", "pro"], 2, "number of a rung"),
        (["run", "x", "--planner", "²"], 2, "number of a rung"),
        (["run", "x", "--attempts", "0"], 2, "from 1 to 16"),
        (["run", "x", "--off-peak-wait", "-5"], 2, "0 seconds or more"),
        (["run", "x", "--base-url", "http://[::1"], 2, "--base-url cannot be 'http://[::1'"),
        (["run", "x", "--base-url", "http://"], 2, "https://HOST"),
        (["run", "x", "--base-url", "localhost:8000"], 2, "https://HOST"),
        (["run", "x", "--base-url", "http://localhost:port"], 2, "https://HOST"),
        (["models", "--base-url", "http://["], 2, "--base-url cannot be 'http://['"),
        (["resume", "no-such-session"], 2, "there is no session"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_bad_input_is_named(
    cli: Cli, workspace: Path, arguments: list[str], code: int, words: str
) -> None:
    if "--workspace" not in arguments and arguments[0] == "run":
        arguments = [*arguments, "--workspace", str(workspace)]
    if arguments[0] == "run" and "--base-url" not in arguments:
        arguments = [*arguments, "--base-url", "http://127.0.0.1:9"]
    ran = cli(*arguments)
    assert ran.code == code, ran.err
    assert words in ran.err


@pytest.mark.parametrize("lines", [0, 2])
def test_a_reader_that_goes_away_ends_the_run_quietly(
    workspace: Path, own_home: Path, lines: int
) -> None:
    script = [bash(f"echo {number}") for number in range(8)]
    with FakeDeepSeek([*script, "Done."]) as server:
        arguments = command(["run", "x", *local(workspace, server)])
        env = environment({"AGENTKIT_HOME": str(own_home)})
        pipe = subprocess.PIPE
        with subprocess.Popen(arguments, stdout=pipe, stderr=pipe, env=env) as running:
            assert running.stdout
            for _ in range(lines):
                running.stdout.readline()
            running.stdout.close()
            running.stdout = None
            _, said = running.communicate(timeout=60)
    assert b"unexpected" not in said
    assert running.returncode == 128 + signal.SIGPIPE


def test_a_dated_price_of_the_project_is_kept_for_a_resume(cli: Cli, workspace: Path) -> None:
    (workspace / "agentkit.toml").write_text(
        'model = "mine"\n[models.mine]\nretired = 2099-01-01\n[[models.mine.prices]]\n'
        "from = 2026-01-01T00:00:00Z\nhit = 0.1\nmiss = 0.2\noutput = 0.3\n"
    )
    with PlainServer([{"content": "Done."}] * 2) as server:
        ran = cli("run", "x", *local(workspace, server), "--session", "one")
        assert ran.code == 0, ran.err
        again = cli("resume", "one", "Again", "--base-url", server.url)
    assert again.code == 0, again.err


def test_no_key_is_one_sentence(cli: Cli, workspace: Path) -> None:
    ran = cli("run", "x", "--workspace", str(workspace))
    assert ran.code == 2
    assert "DEEPSEEK_API_KEY" in ran.err
    assert "agentkit demo" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [("401", 4, "key"), ("402", 4, "balance"), ("400-model", 4, "model")],
)
def test_the_provider_s_refusals(
    cli: Cli, workspace: Path, fault: str, code: int, words: str
) -> None:
    with FakeDeepSeek([Reply("x")], faults={1: fault}) as server:
        ran = cli("run", "x", *local(workspace, server))
    assert ran.code == code, ran.err
    assert words in ran.err.lower()
    assert "agentkit resume" in ran.out + ran.err


@pytest.mark.parametrize(
    ("reply", "options", "code"),
    [
        (Reply(""), [], 1),
        (Reply(calls=[Call("nothing_like_it", {})]), [], 1),
        (Reply(calls=[Call("bash", "{not json")]), [], 1),
        (bash("true"), ["--max-turns", "4"], 3),
        (bash("sleep 60"), ["--deadline", "2"], 3),
        (Reply("Done."), ["--check", "false"], 1),
    ],
    ids=["empty", "unknown-tool", "not-json", "never-stops", "deadline", "check-fails"],
)
def test_models_that_do_not_deliver(
    cli: Cli, workspace: Path, reply: Reply, options: list[str], code: int
) -> None:
    with FakeDeepSeek(lambda _request: reply) as server:
        ran = cli("run", "x", *local(workspace, server), *options)
    assert ran.code == code, ran.err
    assert not any(line.startswith("finished:") for line in ran.out.splitlines())


def test_no_engine_is_said_with_the_way_out(cli: Cli, workspace: Path) -> None:
    dead = {"DOCKER_HOST": "unix:///no/such/socket"}
    arguments = ["--workspace", str(workspace), "--base-url", "http://127.0.0.1:9"]
    ran = cli("run", "x", *arguments, env=dead)
    assert ran.code == 5
    assert "--sandbox local" in ran.err


@pytest.mark.docker
def test_an_image_that_is_nowhere(cli: Cli, workspace: Path) -> None:
    arguments = ["--workspace", str(workspace), "--base-url", "http://127.0.0.1:9"]
    ran = cli("run", "x", *arguments, "--image", "no-such-image:at-all")
    assert ran.code == 5
    assert "no-such-image:at-all" in ran.err


def test_a_home_that_cannot_be_written(cli: Cli, workspace: Path) -> None:
    with FakeDeepSeek([Reply("x")]) as server:
        ran = cli("run", "x", *local(workspace, server), "--home", "/proc/agentkit")
    assert ran.code == 1
    assert "--home" in ran.err


def test_output_that_is_no_text_or_full_of_markup(cli: Cli, workspace: Path) -> None:
    nasty = r"printf '\377\376 \033[31mred [bold]x[/bold] [/] \000end\n'"
    with FakeDeepSeek([bash(nasty), Reply("[/red] Done [bold]")]) as server:
        ran = cli("run", "x", *local(workspace, server), env={"COLUMNS": "40"})
    assert ran.code == 0, ran.err
    assert "[/red] Done [bold]" in ran.out
    assert "\033" not in ran.out


URL = {"AGENTKIT_BASE_URL": "http://127.0.0.1:9"}


@pytest.mark.parametrize("sandbox", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_ctrl_c_stops_politely_and_resume_ends_the_task(
    cli: Cli, workspace: Path, own_home: Path, sandbox: str
) -> None:
    script = [bash("touch began; sleep 60"), Reply("Done after all.")]
    with FakeDeepSeek(script) as server:
        arguments = ["run", "x", "--workspace", str(workspace), "--sandbox", sandbox]
        arguments += ["--approve", "auto", "--base-url", server.base_url, "--session", "mine"]
        process = subprocess.Popen(
            command(arguments),
            env=environment({"AGENTKIT_HOME": str(own_home)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        _until((workspace / "began").exists)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert b"agentkit resume mine" in out + err
        ran = cli("resume", "mine")
    assert ran.code == 0, ran.err
    assert "Done after all." in ran.out
    rows = SQLiteStore(own_home).read("mine")
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.docker
def test_ctrl_c_twice_stops_now_and_leaves_no_container(workspace: Path, own_home: Path) -> None:
    import docker

    client: Any = docker.from_env()  # pyright: ignore[reportUnknownMemberType]
    before = {each.id for each in client.containers.list(all=True)}
    with FakeDeepSeek([bash("trap '' TERM; touch began; sleep 60")]) as server:
        arguments = ["run", "x", "--workspace", str(workspace), "--base-url", server.base_url]
        process = subprocess.Popen(
            command(arguments),
            env=environment({"AGENTKIT_HOME": str(own_home)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        _until((workspace / "began").exists)
        (container,) = [
            each
            for each in client.containers.list(all=True)
            if each.id not in before
            and any(mount["Source"] == str(workspace) for mount in each.attrs["Mounts"])
        ]
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        # Two signals at once may arrive as one: the second follows when the first was understood.
        while b"once more stops at once" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    _until(lambda: container.id not in {each.id for each in client.containers.list(all=True)})
    client.close()


def _until(condition: Any, seconds: float = 30.0) -> None:
    """Wait for the world, not for the clock."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def test_a_projects_skill_is_listed_and_a_bad_one_is_named(cli: Cli, workspace: Path) -> None:
    for name in ("release", "broken"):
        (workspace / ".agents/skills" / name).mkdir(parents=True)
        told = "description: How to release." if name == "release" else ""
        text = f"---\nname: {name}\n{told}\n---\n"
        (workspace / ".agents/skills" / name / "SKILL.md").write_text(text)
    with FakeDeepSeek(["Done.", "Done."]) as server:
        ran = cli("run", "x", *local(workspace, server))
        assert ran.code == 0, ran.err
        assert "skills     release" in ran.out
        assert "broken is left out: it has no description" in ran.out + ran.err
        assert "release (project): How to release." in server.requests[0].raw.decode()
        assert cli("run", "x", *local(workspace, server), "--skills", "none").code == 0
        assert "How to release" not in server.requests[1].raw.decode()
