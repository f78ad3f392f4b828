#!/usr/bin/python3
"""Renders with the real graphite-web (Debian's package) what a test asks for, from whisper files that it writes first.

Reads from standard input, as JSON:
  {"directory": an empty one, "series": {name: {minute: count}}, "zero_from": minute, "zero_until": minute,
   "renders": [[[parameter, value], ...], ...]}
Every minute from zero_from until zero_until (unix seconds) that has no count is written as 0: where counts are complete, none is 0.
Writes to standard output, as JSON:
  {"answers": [{"status": 200, "body": ...}, ...], "functions": {name: {"group": ..., "params": [...]}}}
A body is JSON where it can be.
"""

import json
import math
import os
import sys
import types

STEP_S = 60
RETENTION_MINUTES = 12 * 1440


def settings(directory):
    """graphite-web takes its settings from a module; this one has neither a cache nor daemons to ask."""
    module = types.ModuleType("oracle_settings")
    for name in ("conf", "log", "whisper", "storage"):
        os.makedirs(os.path.join(directory, name))
    module.__dict__.update(
        SECRET_KEY="nothing is secret here",
        TIME_ZONE="UTC",
        # Else what graphite-web finds wrong with an argument is logged, and answered with nothing.
        ENFORCE_INPUT_VALIDATION=True,
        CONF_DIR=os.path.join(directory, "conf"),
        LOG_DIR=os.path.join(directory, "log"),
        STORAGE_DIR=os.path.join(directory, "storage"),
        WHISPER_DIR=os.path.join(directory, "whisper"),
        INDEX_FILE=os.path.join(directory, "index"),
        STANDARD_DIRS=[os.path.join(directory, "whisper")],
        STORAGE_FINDERS=("graphite.finders.standard.StandardFinder",),
        CARBONLINK_HOSTS=[],
        CLUSTER_SERVERS=[],
        USE_WORKER_POOL=False,
        FIND_TIMEOUT=60.0,
        FETCH_TIMEOUT=60.0,
        DEFAULT_CACHE_DURATION=0,
        FIND_CACHE_DURATION=0,
        LOG_INFO_PERFORMANCE=False,
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(directory, "graphite.db")}
        },
    )
    return module


def write(directory, asked):
    import whisper

    minutes = range(asked["zero_from"], asked["zero_until"], STEP_S)
    for name, counts in asked["series"].items():
        path = os.path.join(directory, "whisper", *name.split(".")) + ".wsp"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        whisper.create(path, [(STEP_S, RETENTION_MINUTES)])
        whisper.update_many(path, [(minute, counts.get(str(minute), 0)) for minute in minutes])


def finite(text):
    """graphite-web writes infinity as 1e9999, which is no number."""
    number = float(text)
    return number if math.isfinite(number) else None


def described(param):
    description = param.toJSON()
    if description.get("default") == math.inf:
        description["default"] = "inf"
    return description


def main():
    asked = json.load(sys.stdin)
    directory = asked["directory"]
    sys.modules["oracle_settings"] = settings(directory)
    os.environ["GRAPHITE_SETTINGS_MODULE"] = "oracle_settings"
    os.environ["DJANGO_SETTINGS_MODULE"] = "graphite.settings"
    write(directory, asked)

    import django
    from urllib.parse import urlencode

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    # Its own database has the tags, which every name is one of; it also looks for events there.
    call_command("migrate", run_syncdb=True, verbosity=0)
    from graphite.storage import STORE

    for name in asked["series"]:
        STORE.tagdb.tag_series(name)

    client = Client(raise_request_exception=False)
    answers = []
    for parameters in asked["renders"]:
        body = urlencode([tuple(pair) for pair in parameters] + [("format", "json"), ("noCache", "1")])
        answer = client.post("/render", body, content_type="application/x-www-form-urlencoded")
        text = answer.content.decode()
        try:
            text = json.loads(text, parse_float=finite, parse_constant=lambda _: None)
        except ValueError:
            pass
        answers.append({"status": answer.status_code, "body": text})
    # Not by its own /functions: Debian 12's Python has no inspect.getargspec() any more, which that calls.
    from graphite.functions import SeriesFunctions

    functions = {
        name: {"group": function.group, "params": [described(param) for param in function.params]}
        for name, function in SeriesFunctions().items()
    }
    json.dump({"answers": answers, "functions": functions}, sys.stdout)


main()
