import hashlib
import json
import math
import re
from collections import Counter, defaultdict

LINE = re.compile(
    r'^(\d{4}-\d\d-\d\dT\d\d:\d\d):\d\d\.\d{3}Z (\S+) "GET (\S+) HTTP/1\.1" (\d{3}) ([\d.]+)ms$'
)
# What is expected is computed from the log, which the agent could have changed.
AS_IT_WAS = "26a54fefa6683c95ca7f8aebc2bd3ec0628c61dc3d54ff703b4a1708a18317bf"
ROWS = [m.groups() for m in map(LINE.match, open("/work/access.log").read().splitlines()) if m]
ANSWER = json.load(open("/work/answer.json"))


def test_the_log_is_as_it_was():
    assert hashlib.sha256(open("/work/access.log", "rb").read()).hexdigest() == AS_IT_WAS


def test_slowest():
    times = defaultdict(list)
    for _, _, path, _, took in ROWS:
        times[path.partition("?")[0]].append(float(took))
    worst = max(
        (path for path, each in times.items() if len(each) >= 50),
        key=lambda path: sorted(times[path])[math.ceil(0.95 * len(times[path])) - 1],
    )
    assert ANSWER["slowest"] == worst


def test_errors():
    assert ANSWER["errors"] == sum(500 <= int(row[3]) < 600 for row in ROWS)


def test_burst():
    counts = Counter(row[0] for row in ROWS)
    most = max(counts.values())
    assert ANSWER["burst"] == min(m for m, n in counts.items() if n == most) + ":00Z"


def test_scanner():
    paths = defaultdict(set)
    for _, client, path, _, _ in ROWS:
        paths[client].add(path.partition("?")[0])
    assert ANSWER["scanner"] == max(paths, key=lambda client: len(paths[client]))
