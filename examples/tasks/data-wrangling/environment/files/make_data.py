"""Writes the three files; run once when the image is built."""

import csv
import json
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

draw = random.Random(20260501)
START = datetime(2026, 5, 1, tzinfo=timezone.utc)
HERE = Path("/work/data")
HERE.mkdir(exist_ok=True)
moments = [START + timedelta(hours=3 * step) for step in range(40)]


def celsius():
    return round(draw.uniform(4, 24), 1)


with (HERE / "north.csv").open("w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["time", "temp_c"])
    for index, moment in enumerate(moments):
        value = "" if index % 11 == 3 else 999.9 if index % 13 == 5 else celsius()
        out.writerow([moment.strftime("%Y-%m-%dT%H:%M:%SZ"), value])
        if index % 9 == 4:
            out.writerow([moment.strftime("%Y-%m-%dT%H:%M:%SZ"), celsius()])

rows = []
plus_two = timezone(timedelta(hours=2))
for index, moment in enumerate(moments):
    local = (moment - timedelta(minutes=90)).astimezone(plus_two)
    value = None if index % 7 == 2 else round(celsius() * 9 / 5 + 32, 1)
    rows.append({"at": local.isoformat(), "fahrenheit": value})
(HERE / "south.json").write_text(json.dumps({"station": "south", "readings": rows}, indent=1))

with (HERE / "west.tsv").open("w") as file:
    file.write("# unix seconds\tkelvin\n")
    for index, moment in enumerate(moments):
        if 16 <= index < 24:
            kelvin = "n/a"
        else:
            kelvin = f"{celsius() + 273.15:.2f}"
        file.write(f"{int(moment.timestamp())}\t{kelvin}\n")
