#!/bin/bash
set -euo pipefail
cat >/work/server.py <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = "/work/quotes.txt"
LOCK = threading.Lock()


def quotes():
    with open(FILE, encoding="utf-8") as file:
        return file.read().splitlines()


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, value):
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        lines = quotes()
        head, _, number = self.path[1:].partition("/")
        if self.path == "/quotes":
            self.answer(200, lines)
        elif head == "quotes" and number.isascii() and number.isdigit() and 1 <= int(number) <= len(lines):
            self.answer(200, {"number": int(number), "text": lines[int(number) - 1]})
        else:
            self.answer(404, {"error": "there is no such thing"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/quotes":
            return self.answer(404, {"error": "there is no such thing"})
        try:
            text = json.loads(body)["text"]
            if not isinstance(text, str) or not text.strip():
                raise ValueError
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"error": 'expected {"text": "..."}'})
        text = " ".join(text.split())
        with LOCK:
            with open(FILE, "a", encoding="utf-8") as file:
                file.write(text + "\n")
            number = len(quotes())
        self.answer(201, {"number": number, "text": text})

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
PY
setsid python3 /work/server.py >/tmp/server.log 2>&1 </dev/null &
for _ in $(seq 50); do curl -s http://127.0.0.1:8080/quotes >/dev/null && exit 0; sleep 0.1; done
exit 1
