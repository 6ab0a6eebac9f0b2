"""Print the table of ``docs/benchmarks.md``: agentkit beside its peers, on the fake provider.

    scripts/ensure-peers                    # installs each peer into an environment of its own
    python -m benchmarks.peers [--turns 10 100 200] [--write]

CPU is that of the contender's own process, per turn; hits, bill and first prefix are the fake
provider's word. A fault is survived when the job ends as it should in the world: the tool ran as
often as asked, and the framework returned. Returning without that is a false success.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit.testing import Call, FakeDeepSeek, Reply
from benchmarks.peers.contenders import CONTENDERS

ROOT = Path(__file__).resolve().parents[2]
OURS = ("agentkit", "openai SDK loop")
PAGE = ROOT / "docs" / "benchmarks.md"
FAULTS = (
    "429", "500", "503", "reset", "insufficient", "empty", "leak", "length",
    "args-truncated", "args-comma", "args-fenced", "args-mistyped", "unknown-tool", "no-usage",
)  # fmt: skip
"""Recoverable ones; each meets the third request of a job of five turns."""
_TURNS = re.compile(r": (\d+) turns")
_LIMIT = 90
"""Seconds; a job of five turns that takes longer has hung."""
_SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def answer(request: dict[str, Any]) -> Reply:
    """The scripted model: the tool's next number, until its results are as many as asked for."""
    messages = request["messages"]
    task = next(each["content"] for each in messages if each["role"] == "user")
    found = _TURNS.search(json.dumps(task))
    turns = int(found[1]) if found else 0
    done = sum(
        each["role"] == "tool" and "...." in json.dumps(each["content"]) for each in messages
    )
    tools = [each["function"]["name"] for each in request.get("tools", ())]
    shell = "bash" in tools
    if done < turns:
        arguments = {"command": f"get {done}"} if shell else {"number": done}
        return Reply(calls=[Call("bash" if shell else "get", arguments)])
    return Reply(calls=[Call("bash", {"command": _SUBMIT})]) if shell else Reply("enough")


@dataclass(frozen=True, slots=True)
class Measured:
    """One contender's run of one job."""

    found: dict[str, Any]
    first_prefix: int
    hit_ratio: float
    usd: float

    @property
    def milliseconds(self) -> float:
        """CPU per turn."""
        return 1000 * self.found["cpu"] / max(1, self.found["ran"])


def run(name: str, turns: int, fault: str = "") -> Measured | None:
    """Run a contender once; None where its environment is missing."""
    distribution = CONTENDERS[name][0]
    own = ROOT / ".venvs" / f"peer-{distribution}" / "bin" / "python"
    python = Path(sys.executable) if name in OURS else own
    if not python.exists():
        return None
    with FakeDeepSeek(
        answer, faults={3: fault} if fault else None, keep=False, exact=False
    ) as server:
        line = [str(python), str(Path(__file__).with_name("contenders.py")), name, server.base_url]
        try:
            done = subprocess.run(
                [*line, str(turns), *([] if fault else ["--warm"])],
                capture_output=True,
                text=True,
                timeout=_LIMIT,
                check=False,
            )
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (subprocess.TimeoutExpired, IndexError, ValueError):
            found = {"ended": "hung or died", "ran": 0, "version": "?", "words": ""}
        entries = server.bill.entries
        prompt = sum(usage.prompt_tokens for _, _, usage, _ in entries)
        hits = sum(usage.hit_tokens for _, _, usage, _ in entries)
        first = entries[0][2].prompt_tokens if entries else 0
        return Measured(found, first, hits / prompt if prompt else 0.0, server.bill.usd)


def survived(measured: Measured, turns: int) -> str:
    """``yes``, ``no`` (it raised or hung), or ``lie`` (it returned, and the work is not done)."""
    if measured.found["ended"] != "returned":
        return "no"
    return "yes" if measured.found["ran"] == turns else "lie"


def table(turns: list[int]) -> list[str]:
    """The lines of the table."""
    head = ["contender", "version", "import", "first prefix"]
    head += [f"CPU a turn at {each}" for each in turns]
    head += ["against agentkit", "peak", "hits", "bill", "faults survived", "false successes"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    base = 0.0
    for name in CONTENDERS:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        row = [run(name, each) for each in turns]
        if row[-1] is None:
            lines.append(f"| {name} | not installed |{' |' * (len(head) - 2)}")
            continue
        good = [each for each in row if each is not None]
        last = good[-1]
        if last.found["ended"] != "returned":
            lines.append(
                f"| {name} | failed: {last.found['words'][:100]} |{' |' * (len(head) - 2)}"
            )
            continue
        base = base or last.milliseconds
        words = {fault: survived(run(name, 5, fault) or last, 5) for fault in FAULTS}
        lies = [fault for fault, word in words.items() if word == "lie"]
        cells = [
            name,
            last.found["version"],
            f"{1000 * last.found['import_cpu']:.0f} ms",
            f"{last.first_prefix} tokens",
            *(f"{each.milliseconds:.1f} ms" for each in good),
            f"{last.milliseconds / base:.1f}×",
            f"{last.found['peak_mb']:.0f} MB",
            f"{100 * last.hit_ratio:.1f}%",
            f"${last.usd:.4f}",
            f"{list(words.values()).count('yes')} of {len(FAULTS)}",
            f"{len(lies)}{': ' + ', '.join(lies) if lies else ''}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Measure, print, and put the table into the page if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, nargs="+", default=[10, 100, 200])
    parser.add_argument("--write", action="store_true", help=f"write it into {PAGE.name}")
    arguments = parser.parse_args()
    words = "\n".join(table(arguments.turns))
    print(words)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        begin, end = page.index("<!-- table -->"), page.index("<!-- end of table -->")
        PAGE.write_text(f"{page[:begin]}<!-- table -->\n{words}\n{page[end:]}", encoding="utf-8")


if __name__ == "__main__":
    main()
