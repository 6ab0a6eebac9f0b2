"""Agents inside your own asyncio service: a queue, a few workers, many sessions at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from _model import call, model

from agentkit import Agent, Limits, Result, tool
from agentkit.testing import Reply

WORKERS = 8


@tool(read_only=True)
async def stock(article: int) -> str:
    """Return how many pieces of an article are in stock."""
    await asyncio.sleep(0.05)  # a slow warehouse
    return f"{article * 7 % 30} pieces"


# One definition serves all sessions: it holds no connection and no state.
clerk = Agent(
    "clerk",
    instructions="You answer questions about our stock in one sentence.",
    tools=[stock],
    limits=Limits(cost_usd=0.05, turns=10, deadline=60),
)


@dataclass
class Job:
    """A question and the future that gets its answer."""

    question: str
    answer: asyncio.Future[Result]


class Service:
    """Takes questions at any time; at most ``WORKERS`` are being worked on at once."""

    def __init__(self) -> None:
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()

    async def ask(self, question: str) -> Result:
        """Queue a question and wait for its answer."""
        job = Job(question, asyncio.get_running_loop().create_future())
        await self._jobs.put(job)
        return await job.answer

    async def work(self) -> None:
        """One worker: for ever, a session for each job."""
        while True:
            job = await self._jobs.get()
            try:
                job.answer.set_result(await clerk.run(job.question))
            except Exception as error:  # the asker gets it; the worker lives on
                job.answer.set_exception(error)


async def main(questions: int = 20) -> None:
    """Ask many questions at the same time."""
    service = Service()
    workers = [asyncio.create_task(service.work()) for _ in range(WORKERS)]
    started = time.monotonic()
    asked = [service.ask(f"How many of article {number}?") for number in range(1, questions + 1)]
    results = await asyncio.gather(*asked)
    for worker in workers:
        worker.cancel()

    for result in results[:3]:
        print(f"{result.session_id}  {result.output}")
    done = sum(result.ok for result in results)
    cost = sum(result.cost_usd for result in results)
    print(f"… {done} of {questions} done in {time.monotonic() - started:.1f} s, ${cost:.4f}")


def script() -> dict[str, list[Reply | str]]:
    """Each conversation has answers of its own, found by a part of its question."""
    return {
        f"article {number}?": [
            call("stock", article=number),
            f"Of article {number} we have {number * 7 % 30} pieces.",
        ]
        for number in range(1, 21)
    }


if __name__ == "__main__":
    with model(script()):
        asyncio.run(main())
