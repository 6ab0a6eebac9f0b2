#!/bin/bash
set -euo pipefail
python3 - <<'PY'
path = "/work/loans.py"
text = open(path, encoding="utf-8").read()
head = text[: text.index("    found = []")]
open(path, "w", encoding="utf-8").write(
    head
    + '''    last = {}
    before = [None] * len(loans)
    for index in sorted(range(len(loans)), key=lambda index: loans[index][0]):
        loan = loans[index]
        key = (loan[1], loan[2])
        before[index] = last.get(key)
        last[key] = loan
    return [
        (earlier, loan)
        for earlier, loan in zip(before, loans)
        if earlier is not None and loan[0] - earlier[0] <= days
    ]
'''
)
PY
