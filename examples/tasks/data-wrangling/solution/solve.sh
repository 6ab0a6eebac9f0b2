#!/bin/bash
set -euo pipefail
python3 - <<'PY'
import csv
import json
from datetime import datetime, timezone
from pathlib import Path

data = Path("/work/data")
values = {}


def add(station, moment, value):
    if -60 <= value <= 60:
        values[station, moment.astimezone(timezone.utc)] = value


with (data / "north.csv").open(newline="") as file:
    for row in csv.DictReader(file):
        if row["temp_c"]:
            add("north", datetime.fromisoformat(row["time"].replace("Z", "+00:00")), float(row["temp_c"]))
for row in json.loads((data / "south.json").read_text())["readings"]:
    if row["fahrenheit"] is not None:
        add("south", datetime.fromisoformat(row["at"]), (row["fahrenheit"] - 32) * 5 / 9)
for line in (data / "west.tsv").read_text().splitlines()[1:]:
    seconds, kelvin = line.split("\t")
    if kelvin != "n/a":
        add("west", datetime.fromtimestamp(int(seconds), timezone.utc), float(kelvin) - 273.15)

days = {}
for (station, moment), value in values.items():
    days.setdefault(moment.date().isoformat(), {}).setdefault(station, []).append(value)
means = {
    day: {name: round(sum(each) / len(each), 1) for name, each in stations.items()}
    for day, stations in days.items()
}
Path("/work/daily.json").write_text(json.dumps(means, sort_keys=True, indent=1))
PY
