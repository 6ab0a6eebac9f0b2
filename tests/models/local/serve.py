"""llama.cpp's server as a process: ``serve.py MODEL TEMPLATE PORT``. Ends on SIGTERM.

Run with the packages of ``.local-llm`` on ``PYTHONPATH``; agentkit itself is not needed.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

CONTEXT = 8192
"""The model's own window; the KV cache for it takes 180 MB."""


def main(model: str, template: str, port: int) -> None:
    """Serve until we are told to stop."""
    # One thread: with two and other work beside them, llama.cpp's threads wait for each other
    # busily and get slower by an order of magnitude.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    xllamacpp: Any = importlib.import_module("xllamacpp")
    signal.signal(signal.SIGTERM, _stop)
    wanted = xllamacpp.CommonParams()
    wanted.model.path = model
    wanted.model_alias = {"local"}
    wanted.offline = True
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = port
    wanted.n_ctx = CONTEXT
    wanted.n_parallel = 1
    wanted.use_jinja = True
    wanted.endpoint_slots = True
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    wanted.chat_template = Path(template).read_text(encoding="utf-8")
    server = xllamacpp.Server(wanted)  # answers 503 until the model is loaded
    print(server.listening_address, flush=True)
    threading.Event().wait()


def _stop(_number: int, _frame: object) -> None:
    os._exit(0)  # its threads are C++ ones and do not hear of Python's exit


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
