"""Trials on a Ray cluster: each node runs them on its own engine, results come back as they end.

The job itself stays in one process, which decides what runs and holds the money: so the limits of
money and of trials at a time (``-n``) hold over the whole cluster. A node that dies loses its
trials to another one, and all that they were allowed to spend counts as spent: what they did spend
died with it. Nodes need agentkit and, in their environment, the model's key; the tasks are
sent along.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from agentkit.errors import EngineUnavailable, UsageError
from agentkit.evals.money import come_home, send_away
from agentkit.evals.outcome import NodeLost, Outcome
from agentkit.evals.spec import Trial
from agentkit.evals.task import Task

_ADDRESS = "RAY_ADDRESS"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a node needs to run one trial."""

    trial: Trial
    task: bytes
    """The task's folder, as a tar."""
    ladder: bytes = b""
    """The ladder's file, where it is not a preset."""
    max_cost: float = 0.0


class RayRunner:
    """Sends each trial to the node with the fewest of them."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._running: Counter[str] = Counter()
        self._engines: dict[str, str] = {}
        """Per node: "" where an engine answers, else why none does."""
        self._work = ray.remote(max_retries=0)(run_parcel)
        self._probe = ray.remote(max_retries=0, num_cpus=0)(probe)

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str = "") -> AsyncGenerator[RayRunner]:
        """Join the cluster at ``address`` or ``RAY_ADDRESS``; without either, start one here.

        Raises:
            UsageError: the package is missing, or no cluster answers.
            EngineUnavailable: no node has a Docker engine.
        """
        # Ray's own usage reports go to its makers; nothing leaves a machine unasked.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray as package
        except ImportError as error:
            raise UsageError(
                "--engine ray needs the package ray", hint="pip install 'agentkit-deepseek[ray]'"
            ) from error
        ray: Any = package  # its types are unknown in part
        where = address or os.environ.get(_ADDRESS, "")
        try:
            # Not in a worker thread: Ray's processes end with the thread that began them.
            ray.init(address=where or "local", log_to_driver=False, logging_level=40)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"no Ray cluster answers at {where or 'this machine'}: {error}",
                hint=f"Start one (ray start --head), or name it in {_ADDRESS}",
            ) from error
        try:
            runner = cls(ray)
            await runner.look_around()
            yield runner
        finally:
            ray.shutdown()

    async def look_around(self) -> list[str]:
        """The living nodes that have an engine; new ones are asked.

        Raises:
            EngineUnavailable: none has.
        """
        nodes: list[str] = [each["NodeID"] for each in self._ray.nodes() if each["Alive"]]
        fresh = [each for each in nodes if each not in self._engines]
        for node, answer in [(each, self._on(self._probe, each, 0).remote()) for each in fresh]:
            self._engines[node] = await _answer(answer)
        good = [each for each in nodes if not self._engines[each]]
        if not good:
            reasons = "; ".join(sorted({self._engines[each] for each in nodes}))
            raise EngineUnavailable(
                f"none of {len(nodes)} nodes has a Docker engine: {reasons}",
                hint="Install Docker on the nodes",
            )
        return good

    @property
    def without_engine(self) -> dict[str, str]:
        """Nodes that get no trials, and why."""
        return {node: reason for node, reason in self._engines.items() if reason}

    async def __call__(
        self, trial: Trial, task: Task, folder: Path, *, max_cost: float, say: Callable[[str], None]
    ) -> Outcome:
        """Run the trial on one node.

        Raises:
            NodeLost: the job decides whether its money allows another node.
        """
        parcel = await anyio.to_thread.run_sync(_packed, trial, task, max_cost)
        node = min(await self.look_around(), key=lambda each: self._running[each])
        say(f"on node {node[:8]}")
        if trial.contestant.agent == "agentkit":  # the others cost nothing
            send_away(folder, max_cost)
        self._running[node] += 1
        reference = self._on(self._work, node, task.environment.cpus or 1).remote(parcel)
        try:
            outcome, files = await reference
        except self._ray.exceptions.RayTaskError:
            raise  # a bug of ours, not of the cluster's
        except self._ray.exceptions.RayError as error:
            self._engines.pop(node, None)
            raise NodeLost(f"node {node[:8]} was lost ({type(error).__name__})") from error
        except BaseException:
            self._ray.cancel(reference)
            raise
        finally:
            self._running[node] -= 1
        await anyio.to_thread.run_sync(_unpacked, files, folder)
        come_home(folder)
        return outcome

    def _on(self, function: Any, node: str, cpus: float) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        return function.options(scheduling_strategy=where, num_cpus=cpus)


async def _answer(reference: Any) -> str:
    """A probe's word; a node that died meanwhile has no engine either."""
    from ray.exceptions import RayError

    try:
        return await reference
    except RayError as error:
        return type(error).__name__


def probe() -> str:
    """On a node: "" where an engine answers, else why none does."""
    from agentkit.sandboxes._engine import connect

    async def ask() -> str:
        try:
            await (await connect()).close()
        except EngineUnavailable as error:
            return error.what
        return ""

    return anyio.run(ask)


def run_parcel(parcel: Parcel) -> tuple[Outcome, bytes]:
    """On a node: run the trial and send back its outcome and its files."""
    with tempfile.TemporaryDirectory(prefix="agentkit-trial-") as name:
        root = Path(name)
        return anyio.run(_run, parcel, root)


async def _run(parcel: Parcel, root: Path) -> tuple[Outcome, bytes]:
    from agentkit.evals.local import LocalRunner
    from agentkit.evals.taskset import load

    trial = parcel.trial
    _unpacked(parcel.task, root / "task" / trial.task_name)
    if parcel.ladder:
        ladder = root / Path(trial.contestant.ladder).name
        ladder.write_bytes(parcel.ladder)
        trial = replace(trial, contestant=replace(trial.contestant, ladder=str(ladder)))
    (task,) = load(root / "task" / trial.task_name).tasks
    folder = root / "trial"
    folder.mkdir()
    async with LocalRunner.open() as runner:  # it removes what a dead worker left here
        outcome = await runner(trial, task, folder, max_cost=parcel.max_cost, say=lambda _: None)
    return outcome, pack(folder)


def _packed(trial: Trial, task: Task, max_cost: float) -> Parcel:
    ladder = Path(trial.contestant.ladder)
    words = ladder.read_bytes() if ladder.suffix == ".toml" else b""
    return Parcel(trial, pack(task.path), words, max_cost)


def pack(folder: Path) -> bytes:
    """The folder as a compressed tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname=".")
    return buffer.getvalue()


def _unpacked(data: bytes, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")
