#!/bin/bash
set -euo pipefail
python3 - <<'PY'
import json
from collections import Counter
from pathlib import Path

topics, words = Counter(), {}
for path in sorted(Path("/work/suggestions").iterdir()):
    first, _, rest = path.read_text().partition("\n")
    topics[first.partition(":")[2].strip().lower()] += 1
    words[path.name] = len(rest.split())
summary = {"count": len(words), "by_topic": topics, "longest": max(words, key=words.get)}
Path("/work/summary.json").write_text(json.dumps(summary))
PY
