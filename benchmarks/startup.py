"""What starting costs: CPU time (user and system) from process start to the first request.

    python -m benchmarks.startup [--runs 9] [--json]

A plain HTTP server in another process notes when a request arrives; the CPU time that the command
(and every process that it started) has used by then is read from ``/proc`` at that moment, while
the command waits for its answer. Medians over several runs; the budgets are those of the issue.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

BUDGETS = {"run --sandbox docker": 0.6, "run --sandbox local": 0.6, "import agentkit": 0.06}
HEAVY = ("openai", "docker", "httpx2", "requests")
_TICK = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure, print, and exit 1 where a budget is exceeded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    medians = {name: measure(each, options.runs) for name, each in _measurements().items()}
    over = [name for name, most in BUDGETS.items() if medians.get(name, 0.0) > most]
    if options.json:
        print(json.dumps({name: round(value, 4) for name, value in medians.items()}))
    else:
        for name, value in medians.items():
            budget = f"  (budget {BUDGETS[name]:.2f} s)" if name in BUDGETS else ""
            print(f"{name:28} {value:.3f} s CPU{budget}")
    loaded = heavy_imports()
    if loaded:
        print(f"import agentkit loads {', '.join(loaded)}", file=sys.stderr)
    return 1 if over or loaded else 0


def measure(once: Callable[[], float], runs: int) -> float:
    """The median, after one run that warms the file cache."""
    once()
    return statistics.median(once() for _ in range(runs))


def heavy_imports() -> list[str]:
    """Packages that ``import agentkit`` loads and must not."""
    code = f"import sys, agentkit; print(*(n for n in {HEAVY!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def _measurements() -> dict[str, Callable[[], float]]:
    command = [sys.executable, "-m", "agentkit.cli"]
    table: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: _whole([sys.executable, "-c", "pass"]),
        "import agentkit": lambda: _whole([sys.executable, "-c", "import agentkit"]),
        "agentkit --help": lambda: _whole([*command, "--help"]),
        "agentkit sessions list": lambda: _whole([*command, "sessions", "list"]),
        "run --sandbox local": lambda: _to_first_request("local"),
    }
    if _engine_answers():
        table["run --sandbox docker"] = lambda: _to_first_request("docker")
    return table


def _whole(command: list[str]) -> float:
    """CPU time of a command from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AGENTKIT_HOME": home}
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _to_first_request(sandbox: str) -> float:
    with (
        tempfile.TemporaryDirectory(prefix="agentkit-startup-") as folder,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        workspace = Path(folder, "workspace")
        workspace.mkdir()
        (workspace / "hello.py").write_text("print('hello')\n")
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-m", "agentkit.cli", "run", "say hello", "--base-url", url]
        command += ["--workspace", str(workspace), "--sandbox", sandbox, "--approve", "auto"]
        environment = {**os.environ, "AGENTKIT_HOME": folder, "DEEPSEEK_API_KEY": "none"}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        try:
            server.settimeout(60)
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                return _used(process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _used(pid: int) -> float:
    """CPU seconds of a process and of its children, ended or not."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(each) for each in fields[11:15]) / _TICK
    children = Path(f"/proc/{pid}/task/{pid}/children")
    living = children.read_text().split() if children.exists() else []
    return own + sum(_used(int(child)) for child in living)


def _engine_answers() -> bool:
    done = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
