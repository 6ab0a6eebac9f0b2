"""Writes the log; run once when the image is built."""

import random
from datetime import datetime, timedelta

draw = random.Random(602)
PATHS = ["/", "/search", "/book", "/cart", "/pay", "/static/app.js", "/report"]
now = datetime(2026, 6, 1, 10, 0)
lines = []
for index in range(6000):
    busy = 17 <= now.minute < 18
    now += timedelta(seconds=draw.expovariate(5.0 if busy else 2.0))
    path = draw.choices(PATHS, [20, 10, 10, 5, 3, 30, 1])[0]
    client = f"10.0.{draw.randrange(4)}.{draw.randrange(1, 40)}"
    slow = {"/pay": 900, "/report": 700, "/search": 120}.get(path, 20)
    took = draw.gammavariate(2, slow / 2) + (4000 if path == "/search" and draw.random() < 0.04 else 0)
    status = draw.choices([200, 304, 404, 500, 502, 503], [900, 40, 20, 6, 3, 2])[0]
    query = f"?q={draw.randrange(99)}&from=/pay" if draw.random() < 0.3 else ""
    if draw.random() < 0.015:
        client, path, query, status = "10.0.9.9", f"/admin{draw.randrange(400)}.php", "", 404
        took = 9000.0
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S") + f".{now.microsecond // 1000:03d}Z"
    line = f'{stamp} {client} "GET {path}{query} HTTP/1.1" {status} {took:.1f}ms'
    if draw.random() < 0.01:
        line = line[: draw.randrange(10, len(line) - 4)]
    lines.append(line)
open("/work/access.log", "w").write("\n".join(lines) + "\n")
