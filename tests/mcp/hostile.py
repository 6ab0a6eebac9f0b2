"""An MCP server without the SDK, so that it can break every rule. ``python hostile.py MODE …``.

Modes: ``tools=FILE`` lists what the file holds; ``deaf`` reads and never answers; ``mute`` exits at
once with words on stderr; ``chatty`` writes to stderr without end; ``greets`` begins with a line
that is no message. Its tools do what their name says: see ``call``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

PLAIN: dict[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}}
NAMES = ("echo", "die", "hang", "flood", "drip", "junk", "progress", "pid", "environment", "wrong")


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(number: Any, result: dict[str, Any]) -> None:
    say({"id": number, "result": result})


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}], **more}


def tools(options: list[str]) -> list[dict[str, Any]]:
    for each in options:
        if each.startswith("tools="):
            with open(each[6:], encoding="utf-8") as file:
                return json.load(file)
    return [{"name": name, "description": f"Does {name}.", "inputSchema": PLAIN} for name in NAMES]


def call(number: Any, params: dict[str, Any]) -> None:  # noqa: C901, PLR0912 - a case per tool
    name = params["name"]
    arguments: dict[str, Any] = params.get("arguments") or {}
    token = params.get("_meta", {}).get("progressToken")
    match name:
        case "echo":
            answer(number, text(arguments.get("text", "")))
        case "die":
            sys.stderr.write("Segmentation fault, sort of\n")
            sys.stderr.flush()
            os._exit(3)
        case "flood":
            start = json.dumps({"jsonrpc": "2.0", "id": number, "result": {"content": []}})
            sys.stdout.write(start.removesuffix("]}}"))
            while True:
                sys.stdout.write('{"type":"text","text":"' + "x" * 1_000_000 + '"},')
        case "drip":
            while True:
                say(
                    {
                        "method": "notifications/message",
                        "params": {"level": "info", "data": "x" * 999},
                    }
                )
        case "junk":
            sys.stdout.write("this is no message\n[1, 2]\n{}\n")
            answer(number, text("after junk"))
        case "progress":
            for step in range(1, 4):
                progress = {
                    "progressToken": token,
                    "progress": step,
                    "total": 3,
                    "message": f"step {step}",
                }
                say({"method": "notifications/progress", "params": progress})
                time.sleep(0.9)  # together longer than the test's patience
            answer(number, text("done in steps"))
        case "pid":
            answer(number, text(str(os.getpid())))
        case "environment":
            answer(number, text(json.dumps(dict(os.environ))))
        case "wrong":
            answer(number, {"content": "not a list"})
        case "meta":
            answer(number, text(json.dumps(params.get("_meta", {}))))
        case "pieces":
            answer(number, {"content": arguments["content"], **arguments.get("more", {})})
        case _:
            say({"id": number, "error": {"code": -32602, "message": f"Unknown tool: {name}"}})


def main() -> None:
    options = sys.argv[1:]
    if "mute" in options:
        sys.exit("no licence found")
    if "greets" in options:
        print("Welcome to the server!", flush=True)
    if "chatty" in options:
        threading.Thread(target=_chatter, daemon=True).start()
    cancelled = next((each[7:] for each in options if each.startswith("cancel=")), "")
    for line in sys.stdin:
        message = json.loads(line)
        method, number = message.get("method"), message.get("id")
        hangs = method == "tools/call" and message["params"]["name"] == "hang"
        if cancelled and (hangs or method == "notifications/cancelled"):
            with open(cancelled, "a", encoding="utf-8") as file:
                file.write(line)
        if number is None or "deaf" in options:
            continue
        match method:
            case "initialize":
                version = message["params"]["protocolVersion"]
                about = {"name": "hostile", "version": "1"}
                capabilities: dict[str, Any] = {"tools": {}}
                answer(
                    number,
                    {"protocolVersion": version, "capabilities": capabilities, "serverInfo": about},
                )
            case "tools/list":
                answer(number, {"tools": tools(options)})
            case "tools/call":
                if not hangs:
                    call(number, message["params"])
            case _:
                say({"id": number, "error": {"code": -32601, "message": "Method not found"}})


def _chatter() -> None:
    while True:
        sys.stderr.write("noise " * 10_000)


main()
