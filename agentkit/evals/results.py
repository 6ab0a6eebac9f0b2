"""A trial's record on disk, in Harbor's shape (TrialResult of harbor 0.26), and back.

What Harbor has no field for lies in ``agent_result.metadata.agentkit``.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentkit.agent import __version__
from agentkit.errors import UsageError
from agentkit.evals.outcome import AgentReport, Fault, Grade, Outcome
from agentkit.evals.spec import Contestant, Trial
from agentkit.evals.task import Task
from agentkit.models.types import Usage

RESULT = "result.json"
IMPORT_PATH = "agentkit.evals.harbor:AgentkitAgent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One finished trial."""

    contestant: Contestant
    task: str
    attempt: int
    outcome: Outcome
    seconds: float
    """Of the agent's own work."""


def write_json(path: Path, data: object) -> None:
    """All or nothing: a file that is there is whole."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, path)


def agent_config(contestant: Contestant) -> dict[str, Any]:
    """The contestant as an agent of Harbor's configuration."""
    own = contestant.agent == "agentkit"
    return {
        "name": contestant.agent,
        "import_path": IMPORT_PATH if own else None,
        "model_name": contestant.label if own else None,
        "kwargs": {"preset": contestant.preset, "ladder": contestant.ladder} if own else {},
    }


def write_trial(folder: Path, trial: Trial, task: Task, outcome: Outcome) -> Record:
    """Write ``result.json`` and what belongs beside it; from now on the trial is done."""
    config = {
        "task": {"path": str(trial.task), "source": trial.source},
        "trial_name": trial.name,
        "trials_dir": str(folder.parent),
        "agent": agent_config(trial.contestant),
    }
    write_json(folder / "config.json", config)
    if outcome.fault is not None:
        fault = outcome.fault
        text = f"{fault.type} ({fault.category}) in {fault.phase}: {fault.message}\n"
        (folder / "exception.txt").write_text(text, encoding="utf-8")
    write_json(folder / RESULT, _as_harbor(folder, trial, task, outcome, config))
    record = read_trial(folder)
    assert record is not None
    return record


def record_of(trial: Trial, task: Task, outcome: Outcome) -> Record:
    """The record of a trial, for those who watch; it is on no disk."""
    return Record(
        contestant=trial.contestant,
        task=task.name,
        attempt=trial.attempt,
        outcome=outcome,
        seconds=_span(outcome.seconds.get("agent_execution")),
    )


def _as_harbor(
    folder: Path, trial: Trial, task: Task, outcome: Outcome, config: Mapping[str, Any]
) -> dict[str, Any]:
    own = trial.contestant.agent == "agentkit"
    times = {
        phase: {"started_at": begun, "finished_at": ended}
        for phase, (begun, ended) in outcome.seconds.items()
    }
    moments = [moment for pair in outcome.seconds.values() for moment in pair]
    return {
        "schema_version": 1,
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, str(folder))),
        "task_name": task.name,
        "trial_name": trial.name,
        "trial_uri": folder.as_uri(),
        "task_id": {"path": str(trial.task)},
        "source": trial.source,
        "task_checksum": task.digest,
        "config": config,
        "agent_info": {
            "name": trial.contestant.agent,
            "version": __version__,
            "model_info": {"name": trial.contestant.label, "provider": None} if own else None,
        },
        "agent_result": _agent_result(trial, outcome),
        "verifier_result": {"rewards": dict(outcome.grade.rewards)} if outcome.grade else None,
        "exception_info": _exception(outcome.fault),
        "started_at": min(moments, default=None),
        "finished_at": max(moments, default=None),
        **times,
    }


def _exception(fault: Fault | None) -> dict[str, Any] | None:
    if fault is None:
        return None
    return {
        "exception_type": fault.type,
        "exception_message": fault.message,
        "exception_traceback": "",
        "occurred_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }


def _agent_result(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    report = outcome.report
    return {
        "n_input_tokens": report.usage.prompt_tokens,
        "n_cache_tokens": report.usage.hit_tokens,
        "n_output_tokens": report.usage.completion_tokens,
        "cost_usd": report.cost_usd,
        "metadata": {
            "agentkit": {
                "contestant": trial.contestant.as_dict(),
                "attempt": trial.attempt,
                "report": asdict(report),
                "fault": asdict(outcome.fault) if outcome.fault else None,
                "details": outcome.grade.details if outcome.grade else "",
                "unsolvable": outcome.unsolvable,
            }
        },
    }


def read_trial(folder: Path) -> Record | None:
    """The record of a finished trial; None where the trial has not finished.

    Raises:
        UsageError: the file is not one of ours.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        own: dict[str, Any] = data["agent_result"]["metadata"]["agentkit"]
        report = dict(own["report"])
        report["usage"] = Usage(**report["usage"])
        verdict: dict[str, Any] = data.get("verifier_result") or {}
        rewards: dict[str, float] | None = verdict.get("rewards")
        outcome = Outcome(
            report=AgentReport(**report),
            grade=Grade(rewards=rewards, details=own["details"]) if rewards else None,
            fault=Fault(**own["fault"]) if own["fault"] else None,
            seconds=_phases(data),
            unsolvable=own["unsolvable"],
        )
        return Record(
            contestant=Contestant.from_dict(own["contestant"]),
            task=data["task_name"],
            attempt=own["attempt"],
            outcome=outcome,
            seconds=_span(outcome.seconds.get("agent_execution")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no result of agentkit's: {type(error).__name__}: {error}",
            hint="Name another job, or remove that folder",
        ) from error


def _phases(data: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    phases = ("environment_setup", "agent_execution", "verifier")
    return {
        name: (str(data[name]["started_at"]), str(data[name]["finished_at"]))
        for name in phases
        if data.get(name)
    }


def _span(pair: tuple[str, str] | None) -> float:
    if pair is None:
        return 0.0
    begun, ended = (datetime.fromisoformat(each) for each in pair)
    return (ended - begun).total_seconds()
