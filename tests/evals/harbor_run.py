"""Run by a Python that has Harbor: one trial of our agent through Harbor's own machinery.

    python harbor_run.py trial TASK FOLDER ENDPOINT    prints Harbor's result as JSON
    python harbor_run.py read JOB                      reads a job of ``agentkit eval``, as it does

Harbor's own Docker environment needs docker compose; ``PlainDocker`` is the same contract over the
docker package.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import docker
from harbor.environments.base import BaseEnvironment, ExecResult
from harbor.environments.capabilities import EnvironmentCapabilities


class PlainDocker(BaseEnvironment):
    """A container of the task's image."""

    @staticmethod
    def type() -> str:
        return "plain-docker"

    @property
    def capabilities(self) -> Any:
        return EnvironmentCapabilities(disable_internet=True)

    def _validate_definition(self) -> None:
        assert (self.environment_dir / "Dockerfile").is_file()

    async def start(self, force_build: bool) -> None:
        self.client = docker.from_env()
        image, _ = self.client.images.build(path=str(self.environment_dir), rm=True)
        self.container = self.client.containers.run(
            image.id,
            ["sh", "-c", "sleep infinity"],
            detach=True,
            init=True,
            network_mode="none",
            labels={"agentkit.test": "harbor"},
        )
        await self.exec("mkdir -p /logs/agent /logs/verifier /logs/artifacts; chmod 777 /logs/*")

    async def stop(self, delete: bool) -> None:
        self.container.remove(force=True)
        self.client.close()

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> Any:
        def run() -> Any:
            return self.container.exec_run(
                ["bash", "-c", command],
                workdir=cwd,
                environment=self._merge_env(env),
                user=str(user or ""),
                demux=True,
            )

        done = await asyncio.wait_for(asyncio.to_thread(run), timeout_sec)
        out, err = ((part or b"").decode("utf-8", "replace") for part in done.output)
        return ExecResult(stdout=out, stderr=err, return_code=done.exit_code)

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        self._put(Path(source_path), target_path)

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        self._put(Path(source_dir), target_dir)

    def _put(self, source: Path, target: str) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(source, arcname=target.lstrip("/"))
        self.container.put_archive("/", buffer.getvalue())

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        with self._get(source_path) as tar:
            content = tar.extractfile(tar.getmembers()[0])
            assert content is not None
            await asyncio.to_thread(Path(target_path).write_bytes, content.read())

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        with self._get(source_dir) as tar:
            for member in tar.getmembers():
                member.name = member.name.partition("/")[2]
                if member.name:
                    tar.extract(member, target_dir, filter="data")

    def _get(self, path: str) -> tarfile.TarFile:
        try:
            stream, _ = self.container.get_archive(path)
        except docker.errors.NotFound as error:
            raise RuntimeError(str(error)) from error
        return tarfile.open(fileobj=io.BytesIO(b"".join(stream)))


async def trial(task: str, folder: str, endpoint: str) -> None:
    from harbor.models.trial.config import (
        AgentConfig,
        EnvironmentConfig,
        TaskConfig,
        TrialConfig,
    )
    from harbor.trial.trial import Trial

    config = TrialConfig(
        task=TaskConfig(path=Path(task)),
        trials_dir=Path(folder),
        agent=AgentConfig(
            import_path="agentkit.evals.harbor:AgentkitAgent",
            model_name="deepseek/deepseek-flash",
            kwargs={"endpoint": endpoint},
        ),
        environment=EnvironmentConfig(import_path=f"{Path(__file__).stem}:PlainDocker"),
    )
    running = await Trial.create(config)
    result = await running.run()
    print(result.model_dump_json())


def read(job: str) -> None:
    from harbor.models.job.result import JobResult
    from harbor.models.trial.result import TrialResult
    from harbor.utils.trajectory_validator import TrajectoryValidator

    folder = Path(job)
    whole = JobResult.model_validate_json((folder / "result.json").read_text())
    found: dict[str, Any] = {"completed": whole.stats.n_completed_trials, "trials": {}}
    for path in sorted(folder.glob("*__*/result.json")):
        one = TrialResult.model_validate_json(path.read_text())
        trajectory = path.parent / "agent" / "trajectory.json"
        validator = TrajectoryValidator()
        good = validator.validate(trajectory) if trajectory.is_file() else None
        found["trials"][one.trial_name] = {
            "valid": one.reward_valid,
            "rewards": one.verifier_result.rewards if one.verifier_result else None,
            "trajectory": good,
            "errors": validator.get_errors() if trajectory.is_file() else [],
        }
    print(json.dumps(found))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    if sys.argv[1] == "trial":
        asyncio.run(trial(*sys.argv[2:5]))
    else:
        read(sys.argv[2])
