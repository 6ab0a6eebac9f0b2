#!/bin/bash
set -euo pipefail
python3 - <<'PY'
import json
import math
import re
from collections import Counter, defaultdict

pattern = re.compile(r'(\S{16}):\d\d\.\d{3}Z (\S+) "GET (\S+) HTTP/1\.1" (\d{3}) ([\d.]+)ms')
times, paths, minutes, errors = defaultdict(list), defaultdict(set), Counter(), 0
for line in open("/work/access.log"):
    match = pattern.fullmatch(line.rstrip("\n"))
    if match is None:
        continue
    minute, client, path, status, took = match.groups()
    path = path.partition("?")[0]
    times[path].append(float(took))
    paths[client].add(path)
    minutes[minute] += 1
    errors += status.startswith("5")
often = {path: sorted(each) for path, each in times.items() if len(each) >= 50}
most = max(minutes.values())
answer = {
    "slowest": max(often, key=lambda path: often[path][math.ceil(0.95 * len(often[path])) - 1]),
    "errors": errors,
    "burst": min(minute for minute, count in minutes.items() if count == most) + ":00Z",
    "scanner": max(paths, key=lambda client: len(paths[client])),
}
json.dump(answer, open("/work/answer.json", "w"))
PY
