"""What a command in the sandbox costs, beside the other ways to run one; all in one run.

    python -m benchmarks.sandbox [--calls 200] [--parallel 50] [--json]

Paths are interleaved call by call, as the machine may be busy: the ratios count, not the
milliseconds. The floor is a ``posix_spawn`` of ``sh -c true`` and its wait, made inside the
container. What is not installed (the docker command, mini-swe-agent, SWE-ReX) is left out, and
said.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from agentkit.sandbox import Shell
from agentkit.sandboxes import Docker, Pool
from agentkit.sandboxes.docker import DockerSandbox

Call = Callable[[], Awaitable[object]]
Row = tuple[str, float, float, str]
"""What, p50 and p95 in milliseconds, and the target or the comparison in words."""

_FLOOR = """
import os, sys, time
times = []
for _ in range(int(sys.argv[1])):
    start = time.perf_counter()
    os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", "true"], os.environ), 0)
    times.append(time.perf_counter() - start)
print(sorted(times)[len(times) // 2] * 1000)
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=200, help="of each fast path")
    parser.add_argument("--parallel", type=int, default=50, help="sandboxes at once")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentkit-bench-") as folder:
        rows = anyio.run(_measure, Path(folder), options.calls, options.parallel)
    if options.json:
        print(json.dumps([{"what": r[0], "p50": r[1], "p95": r[2], "note": r[3]} for r in rows]))
        return 0
    print(f"{'':<44}{'p50':>10}{'p95':>10}")
    for what, middle, high, note in rows:
        second = f"{high:10.2f}" if high else " " * 10
        print(f"{what:<44}{middle:10.2f}{second}  {note}")
    return 0


async def _measure(folder: Path, calls: int, parallel: int) -> list[Row]:
    rows: list[Row] = []
    rows += await _commands(folder, calls)
    rows += await _timeouts(folder)
    rows += await _starts(folder)
    rows += await _pool(folder)
    rows += await _many(folder, parallel)
    return rows


async def _commands(folder: Path, calls: int) -> list[Row]:
    sandbox = await Docker(workspace=folder).open("bench")
    try:
        shell = await sandbox.shell()
        await shell.run(":")
        (folder / "floor.py").write_text(_FLOOR)
        data = os.urandom(5000) + b"x" * 5240
        fast: dict[str, Call] = {
            "builtin (:)": lambda: shell.run(":"),
            "external (/bin/true)": lambda: shell.run("/bin/true"),
            "external behind a builtin (cd . && ...)": lambda: shell.run("cd . && /bin/true"),
            "write 10 KB": lambda: sandbox.write_file("f", data),
            "read 10 KB": lambda: sandbox.read_file("f"),
            "write 10 KB outside the workspace": lambda: sandbox.write_file("/tmp/f", data),
            "read 10 KB outside the workspace": lambda: sandbox.read_file("/tmp/f"),
        }
        with contextlib.ExitStack() as stack:
            slow = _others(sandbox.ref["container"], stack)
            times, floors = await _interleaved(fast, slow, shell, calls)
    finally:
        await sandbox.close()
    return _compare(times, statistics.median(floors))


async def _interleaved(
    fast: dict[str, Call], slow: dict[str, Call], shell: Shell, calls: int
) -> tuple[dict[str, list[float]], list[float]]:
    times: dict[str, list[float]] = {name: [] for name in (*fast, *slow)}
    floors: list[float] = []
    for name, call in fast.items():
        if name.startswith("write"):
            await call()
    for number in range(calls):
        for name, call in fast.items():
            times[name].append(await _timed(call))
        if number % 10 == 0:
            for name, call in slow.items():
                times[name].append(await _timed(call))
            told = await shell.run("python3 /workspace/floor.py 20")
            floors.append(float(told.output.data))
    return times, floors


async def _timed(call: Call) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1000


def _compare(times: dict[str, list[float]], floor: float) -> list[Row]:
    base = statistics.median(times["external (/bin/true)"])
    notes = {
        "builtin (:)": "target 1",
        "external (/bin/true)": f"{base / floor:.2f} x floor, target 2",
        "write 10 KB": "target 2",
        "read 10 KB": "target 2",
        "external behind a builtin (cd . && ...)": "bash looks what became of its state",
        "write 10 KB outside the workspace": "through the container, over a file whose mode stays",
        "read 10 KB outside the workspace": "through the container",
    }
    rows: list[Row] = [("floor: spawn and wait in the container", floor, 0.0, "")]
    for name, each in times.items():
        middle = statistics.median(each)
        note = notes.get(name, f"{middle / base:.0f} x ours (/bin/true)")
        rows.append((name, middle, _p95(each), note))
    return rows


def _others(container: str, stack: contextlib.ExitStack) -> dict[str, Call]:
    """The same command by other ways, in the same container where they can."""
    found: dict[str, Call] = {"docker-py exec_run": _docker_py(container, stack)}
    if program := shutil.which("docker"):
        command = [program, "exec", container, "/bin/true"]
        found["docker exec (command line)"] = lambda: anyio.to_thread.run_sync(
            lambda: subprocess.run(command, check=True, capture_output=True)
        )
    else:
        print("left out: the docker command (not installed)")
    for name, make in (("mini-swe-agent", _mini), ("SWE-ReX", _rex)):
        try:
            found[f"{name} execute"] = make(stack)
        except ImportError:
            print(f"left out: {name} (not installed)")
        except Exception as error:
            print(f"left out: {name} (it does not start here: {error})")
    return found


def _docker_py(container: str, stack: contextlib.ExitStack) -> Call:
    import docker

    client: Any = docker.from_env()
    stack.callback(client.close)
    target = client.containers.get(container)
    return lambda: anyio.to_thread.run_sync(lambda: target.exec_run(["/bin/true"]))


def _mini(stack: contextlib.ExitStack) -> Call:
    from agentkit.sandboxes.images import base_image_tag

    module: Any = importlib.import_module("minisweagent.environments.docker")
    environment = module.DockerEnvironment(image=base_image_tag())
    stack.callback(environment.cleanup)
    return lambda: anyio.to_thread.run_sync(lambda: environment.execute({"command": "/bin/true"}))


def _rex(stack: contextlib.ExitStack) -> Call:
    del stack
    importlib.import_module("swerex.deployment.docker")
    raise RuntimeError("its image needs its own server installed")


async def _timeouts(folder: Path, count: int = 30, limit: float = 0.3) -> list[Row]:
    sandbox = await Docker(workspace=folder).open("bench")
    try:
        shell = await sandbox.shell()
        await shell.run(":")
        over: list[float] = []
        for _ in range(count):
            spent = await _timed(lambda: shell.run("sleep 100 & sleep 100", timeout=limit))
            over.append(spent - limit * 1000)
    finally:
        await sandbox.close()
    return [("time limit, how far it is overshot", _p50(over), _p95(over), "target 150 at p95")]


async def _starts(folder: Path, count: int = 12) -> list[Row]:
    import docker

    from agentkit.sandboxes.images import base_image_tag

    client: Any = docker.from_env()
    provider, plain, ours, removed = Docker(workspace=folder), [0.0], [0.0], list[DockerSandbox]()
    plain.clear()
    ours.clear()

    def create_and_start() -> str:
        made = client.api.create_container(
            base_image_tag(),
            ["sleep", "600"],
            host_config=client.api.create_host_config(
                network_mode="none",
                cap_drop=["ALL"],
                init=True,
                binds=[f"{folder}:/workspace"],
                mem_limit="4g",
                pids_limit=512,
            ),
        )
        client.api.start(made["Id"])
        return made["Id"]

    async def open_one() -> None:
        removed.append(await provider.open("bench"))

    try:
        await open_one()
        for _ in range(count):
            started = time.perf_counter()
            container = await anyio.to_thread.run_sync(create_and_start)
            plain.append((time.perf_counter() - started) * 1000)
            client.api.remove_container(container, force=True)
            ours.append(await _timed(open_one))
            await removed.pop().close()
    finally:
        for each in removed:
            await each.close()
        client.close()
    ratio = _p50(ours) / _p50(plain)
    return [
        ("plain create and start", _p50(plain), _p95(plain), ""),
        ("cold start: open()", _p50(ours), _p95(ours), f"{ratio:.2f} x plain, target 1.15"),
    ]


async def _pool(folder: Path, count: int = 12) -> list[Row]:
    times: list[float] = []
    async with Pool(Docker(workspace=folder), size=2) as pool:
        for _ in range(count):
            await pool.full()
            taken: list[DockerSandbox] = []

            async def take(into: list[DockerSandbox]) -> None:
                into.append(await pool.open("bench"))

            times.append(await _timed(lambda taken=taken, take=take: take(taken)))
            await taken[0].close()
    return [("warm pool: open()", _p50(times), _p95(times), "target 5")]


async def _many(folder: Path, parallel: int, each: int = 40) -> list[Row]:
    import docker

    client: Any = docker.from_env()
    provider = Docker(workspace=folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sandboxes: list[DockerSandbox] = []
    limiter = anyio.CapacityLimiter(max(2, os.cpu_count() or 1))

    async def start() -> None:
        async with limiter:
            sandbox = await provider.open("bench")
            sandboxes.append(sandbox)
            await (await sandbox.shell()).run(":")

    async def work(sandbox: DockerSandbox) -> None:
        shell = await sandbox.shell()
        for _ in range(each):
            await shell.run("/bin/true")

    try:
        async with anyio.create_task_group() as group:
            for _ in range(parallel):
                group.start_soon(start)
        own = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 / parallel
        idle = [_idle_memory(client, sandbox) for sandbox in sandboxes[:10]]
        started = time.perf_counter()
        async with anyio.create_task_group() as group:
            for sandbox in sandboxes:
                group.start_soon(work, sandbox)
        rate = parallel * each / (time.perf_counter() - started)
    finally:
        async with anyio.create_task_group() as group:
            for sandbox in sandboxes:
                group.start_soon(sandbox.close)
        client.close()
    inside, shim = (statistics.median(column) for column in zip(*idle, strict=True))
    return [
        (f"{parallel} sandboxes at once: commands/s", rate, 0.0, "target 800"),
        ("an idle sandbox: MB in all", inside + shim + own, 0.0, "target 8"),
        ("  its processes / its shim / our own process", inside, 0.0, f"{shim:.1f} / {own:.1f}"),
    ]


def _idle_memory(client: Any, sandbox: DockerSandbox) -> tuple[float, float]:
    """MB that the container's processes, and the engine's shim for it, have to themselves."""
    facts = client.api.inspect_container(sandbox.ref["container"])
    stats = client.api.stats(sandbox.ref["container"], stream=False)["memory_stats"]
    detail = stats.get("stats", {})
    rss = detail.get("rss", detail.get("anon", stats.get("usage", 0))) / (1 << 20)
    parent = Path(f"/proc/{facts['State']['Pid']}/stat")
    shim = 0.0
    with contextlib.suppress(OSError):
        number = parent.read_text().rpartition(")")[2].split()[1]
        for line in Path(f"/proc/{number}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                shim = int(line.split()[1]) / 1024
    return rss, shim


def _p50(values: list[float]) -> float:
    return statistics.median(values)


def _p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


if __name__ == "__main__":
    raise SystemExit(main())
