import csv
import hashlib
import json
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path

DATA = Path("/work/data")
# What is expected is computed from these files, which the agent could have changed.
AS_IT_WAS = {
    "north.csv": "8eda090627b719159b9859c6795af88d44a944cc205f1594201796a01a1c2aa7",
    "south.json": "9a8af142fa3660473bf77889e579cd9271c92c0b314d5d4b712dc124b6930cbc",
    "west.tsv": "9b9b9d847e58b9700f5b444321ac9c9538ab889b805204afc5ff2c14e0bd29e2",
}


def readings():
    with (DATA / "north.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["temp_c"]:
                moment = datetime.fromisoformat(row["time"].replace("Z", "+00:00"))
                yield "north", moment, float(row["temp_c"])
    for row in json.loads((DATA / "south.json").read_text())["readings"]:
        if row["fahrenheit"] is not None:
            yield "south", datetime.fromisoformat(row["at"]), (row["fahrenheit"] - 32) * 5 / 9
    for line in (DATA / "west.tsv").read_text().splitlines()[1:]:
        seconds, kelvin = line.split("\t")
        if kelvin != "n/a":
            moment = datetime.fromtimestamp(int(seconds), timezone.utc)
            yield "west", moment, float(kelvin) - 273.15


def expected():
    last = {}
    for station, moment, value in readings():
        if -60 <= value <= 60:
            last[station, moment.astimezone(timezone.utc)] = value
    groups = defaultdict(lambda: defaultdict(list))
    for (station, moment), value in last.items():
        groups[moment.date().isoformat()][station].append(value)
    return {
        day: {name: sum(values) / len(values) for name, values in stations.items()}
        for day, stations in groups.items()
    }


def test_every_day_and_station():
    found = json.loads(Path("/work/daily.json").read_text())
    wanted = expected()
    assert list(found) == sorted(wanted)
    for day, stations in wanted.items():
        assert list(found[day]) == sorted(stations), day
        for name, value in stations.items():
            assert abs(found[day][name] - value) <= 0.0501, (day, name)
            assert round(found[day][name], 1) == found[day][name]


def test_the_data_is_as_it_was():
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.iterdir()}
    assert found == AS_IT_WAS
