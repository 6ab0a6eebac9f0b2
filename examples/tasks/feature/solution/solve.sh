#!/bin/bash
set -euo pipefail
cat >columns.py <<'PY'
"""Print some columns of a CSV file: columns.py FILE NAME... [--where NAME=VALUE] [--sort NAME]"""

import argparse
import csv
import sys


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--where", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--sort", metavar="NAME")
    parser.add_argument("--reverse", action="store_true")
    args = parser.parse_args()
    wanted = [each.partition("=")[::2] for each in args.where]
    with open(args.file, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        known = reader.fieldnames or []
    for name in [*args.names, *(name for name, _ in wanted), *([args.sort] if args.sort else [])]:
        if name not in known:
            print(f"there is no column {name!r}", file=sys.stderr)
            return 2
    rows = [row for row in rows if all(row[name] == value for name, value in wanted)]
    if args.sort:
        numeric = all(number(row[args.sort]) is not None for row in rows)
        key = (lambda row: number(row[args.sort])) if numeric else (lambda row: row[args.sort])
        rows.sort(key=key, reverse=args.reverse)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(args.names)
    writer.writerows([row[name] for name in args.names] for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
PY
