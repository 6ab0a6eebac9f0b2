import csv
import json
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path

DATA = Path("/work/data")


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
    assert sorted(path.name for path in DATA.iterdir()) == ["north.csv", "south.json", "west.tsv"]
