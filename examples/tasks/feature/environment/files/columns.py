"""Print some columns of a CSV file: columns.py FILE NAME..."""

import argparse
import csv
import sys


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("names", nargs="+")
    args = parser.parse_args()
    with open(args.file, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(args.names)
        for row in rows:
            writer.writerow([row[name] for name in args.names])
    return 0


if __name__ == "__main__":
    sys.exit(main())
