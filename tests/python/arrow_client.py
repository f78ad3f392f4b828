"""Reads a series as programs do, with pyarrow. Argument: the URL. Prints JSON: the schema, what it says about the answer, and its rows."""

import json
import sys
from urllib.request import Request, urlopen

import pyarrow.ipc

url = sys.argv[1]
accept = {"Accept": "application/vnd.apache.arrow.stream"}
with urlopen(Request(url, headers=accept), timeout=30) as answer:
    content_type = answer.headers["Content-Type"]
    table = pyarrow.ipc.open_stream(answer).read_all()
table.validate(full=True)
names, times, counts = (column.to_pylist() for column in table.columns)
json.dump(
    {
        "content_type": content_type,
        "columns": {field.name: str(field.type) for field in table.schema},
        "metadata": {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()},
        "rows": [[name, int(time.timestamp()), count] for name, time, count in zip(names, times, counts)],
    },
    sys.stdout,
)
