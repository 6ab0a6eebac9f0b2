"""``python -m agentkit.testing.server``: the fake provider from a shell."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from agentkit.errors import AgentkitError
from agentkit.testing.faults import CATALOGUE
from agentkit.testing.script import recorded
from agentkit.testing.server import FakeDeepSeek


def main() -> None:
    """Serve until interrupted, then print the bill and what was wrong with the requests."""
    options = _options()
    if options.list_faults:
        print("\n".join(f"{name:16} {text}" for name, text in CATALOGUE.items()))
        return
    try:
        server = FakeDeepSeek(
            _script(options.script),
            faults=options.faults,
            per_conversation=options.per_conversation,
            balance=options.balance,
            concurrency=options.concurrency,
            delay=options.delay,
            keep=False,
            exact=options.exact,
            port=options.port,
        )
        server.start()
    except (AgentkitError, OSError, ValueError) as error:
        sys.exit(f"the fake server cannot start: {error}")
    stop = threading.Event()

    def interrupted(_number: int, _frame: object) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    print(server.base_url, flush=True)  # last: who reads it may end us at once
    stop.wait()
    server.close()
    _report(server)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m agentkit.testing.server",
        description="A scripted DeepSeek on loopback. Prints its address, serves until Ctrl-C.",
    )
    add = parser.add_argument
    add(
        "--script",
        help='JSON: a list of replies, or {"part of first user text": [replies]};'
        " or a session's events, one a line (.jsonl), whose answers are played again",
    )
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--faults", default="", help="REQUEST=FAULT,… for instance 4=429*3,9=empty")
    add("--list-faults", action="store_true", help="name every fault and stop")
    add("--per-conversation", action="store_true", help="play the list to each first user text")
    add("--balance", type=float, help="US dollars in the account")
    add("--concurrency", type=int, help="parallel requests beyond which a 429 states the limit")
    add("--delay", type=float, default=0.0, help="seconds between two events of a stream")
    add(
        "--exact",
        action=argparse.BooleanOptionalAction,
        help="count with the vendor's encoding and tokenizer (default: where they are installed)",
    )
    options = parser.parse_args()
    if not options.script and not options.list_faults:
        parser.error("--script FILE is needed")
    return options


def _script(file: str) -> Any:
    if file.endswith(".jsonl"):
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        return recorded(json.loads(line) for line in lines if line.strip())
    data: Any = json.loads(Path(file).read_text(encoding="utf-8"))
    if type(data) not in (list, dict):
        raise ValueError(f"{file} holds neither a list nor an object")
    return data


def _report(server: FakeDeepSeek) -> None:
    usage = server.bill.usage
    summary = {
        "requests": len(server.requests),
        "cost_usd": server.bill.usd,
        "prompt_tokens": usage.prompt_tokens,
        "hit_tokens": usage.hit_tokens,
        "completion_tokens": usage.completion_tokens,
        "violations": server.violations,
    }
    print(json.dumps(summary, ensure_ascii=False), flush=True)
