"""Harbor's layout, which is also Terminal-Bench 2's (schema 1.0 to 1.4; read 2026-11).

    task.toml  instruction.md  environment/Dockerfile  tests/test.sh  solution/solve.sh

Unknown keys are passed over. What would change a result if it were passed over (compose files,
several steps, a second container for the tests, GPUs) is refused with the reason.
"""

from __future__ import annotations

from pathlib import Path

from agentkit.errors import UsageError
from agentkit.evals.layouts import _tables as read_
from agentkit.evals.layouts._tables import Table
from agentkit.evals.task import Environment, Grading, Healthcheck, Network, Task

_COMPOSE = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")


def fits(folder: Path) -> bool:
    """Whether the folder has this layout."""
    return (folder / "task.toml").is_file()


def read(folder: Path) -> Task:
    """The task.

    Raises:
        UsageError: broken, or in need of something that is not here; the text says what.
    """
    table = read_.toml(folder / "task.toml")
    _refuse(folder, table)
    agent, verifier = read_.section(table, "agent"), read_.section(table, "verifier")
    metadata = read_.section(table, "metadata")
    environment = _environment(folder, table, agent)
    return Task(
        name=folder.name,
        path=folder,
        instruction=read_.text(folder / "instruction.md"),
        environment=environment,
        grading=_grading(folder, verifier, environment),
        agent_timeout=read_.number(agent, "timeout_sec"),
        agent_user=str(agent.get("user", "")),
        solution=_if_there(folder / "solution" / "solve.sh"),
        solution_env=read_.words(read_.section(table, "solution"), "env"),
        unsolvable=bool(metadata.get("unsolvable", False)),
        metadata=metadata,
    )


def _refuse(folder: Path, table: Table) -> None:
    """Say what this task needs and cannot have.

    Raises:
        UsageError
    """
    environment, verifier = read_.section(table, "environment"), read_.section(table, "verifier")
    compose = [name for name in _COMPOSE if (folder / "environment" / name).exists()]
    mode = verifier.get("environment_mode")
    reason = ""
    if compose:
        reason = f"it needs docker compose ({compose[0]}), which agentkit does not run"
    elif table.get("steps"):
        reason = "it has several steps ([[steps]])"
    elif mode == "separate" or (mode is None and "environment" in verifier):
        reason = "its tests want a container of their own (verifier.environment_mode)"
    elif environment.get("gpus") or environment.get("tpu"):
        reason = "it needs an accelerator"
    elif str(environment.get("os", "linux")).lower() != "linux":
        reason = f"it needs {environment['os']}"
    elif environment.get("mcp_servers"):
        reason = "it needs MCP servers in its environment"
    if reason:
        raise UsageError(f"this task cannot be run here: {reason}", hint="Run it with Harbor")


def _environment(folder: Path, table: Table, agent: Table) -> Environment:
    environment = read_.section(table, "environment")
    context = folder / "environment"
    image = str(environment.get("docker_image") or "")
    if not image and not (context / "Dockerfile").is_file():
        raise UsageError(f"{context} has no Dockerfile, and task.toml names no docker_image")
    # The agent's own policy, where it has one, is what counts for the agent.
    source = agent if agent.get("network_mode") else environment
    return Environment(
        context=None if image else context,
        image=image,
        cpus=read_.number(environment, "cpus"),
        memory_mb=read_.megabytes(environment, "memory"),
        storage_mb=read_.megabytes(environment, "storage"),
        network=network_of(source),
        allowed_hosts=tuple(str(host) for host in source.get("allowed_hosts") or ()),
        env=read_.words(environment, "env"),
        workdir=str(environment.get("workdir") or ""),
        build_timeout=read_.number(environment, "build_timeout_sec", 600.0) or 600.0,
        healthcheck=_healthcheck(environment),
    )


def network_of(table: Table) -> Network:
    """The network policy, from today's field or from the older ``allow_internet``.

    Raises:
        UsageError: the policy is not one of the three.
    """
    found = table.get("network_mode")
    if found is None:
        return "no-network" if table.get("allow_internet") is False else "public"
    if found not in ("public", "no-network", "allowlist"):
        raise UsageError(f"network_mode {found!r} is none of public, no-network, allowlist")
    return found


def _healthcheck(environment: Table) -> Healthcheck | None:
    table = read_.section(environment, "healthcheck")
    if not table:
        return None
    return Healthcheck(
        command=str(table.get("command", "true")),
        interval=read_.number(table, "interval_sec", 5.0) or 5.0,
        timeout=read_.number(table, "timeout_sec", 30.0) or 30.0,
        start_period=float(table.get("start_period_sec", 0.0)),
        retries=int(table.get("retries", 3)),
    )


def _grading(folder: Path, verifier: Table, environment: Environment) -> Grading:
    tests = folder / "tests"
    if not (tests / "test.sh").is_file():
        raise UsageError(f"{folder.name} has no tests/test.sh, so nothing could judge the work")
    network = network_of(verifier) if verifier.get("network_mode") else None
    if network not in (None, environment.network):
        raise UsageError(
            f"its tests want the network {network}, the agent {environment.network}: one container"
            " cannot have both",
            hint="Run it with Harbor",
        )
    return Grading(
        judge="reward",
        tests=tests,
        timeout=read_.number(verifier, "timeout_sec", 600.0) or 600.0,
        env=read_.words(verifier, "env"),
        user=str(verifier.get("user", "")),
        network=network,
    )


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
