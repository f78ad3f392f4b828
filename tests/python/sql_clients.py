"""Asks the analysts' SQL as programs do, with PyMySQL and mysql-connector, in sessions of several time zones.

Arguments: the centre's socket, account, password, name, and the period as two unix seconds. Prints JSON: for each driver and zone what each
question gave, or the error that it was refused with."""

import datetime
import json
import sys

import mysql.connector
import pymysql

socket, user, password, name, begin, end = sys.argv[1:]
begin, end = int(begin), int(end)

ZONES = ["+00:00", "+02:00", "-09:30", "Europe/Berlin"]

QUESTIONS = {
    "by name": (
        "SELECT unixSeconds DIV 3600 * 3600 AS hour, SUM(count) FROM named_minutes"
        " WHERE tagName = %s AND unixSeconds >= %s AND unixSeconds < %s GROUP BY hour ORDER BY hour",
        (name, begin, end),
    ),
    "by id": (
        "SELECT SUM(count) FROM event_minutes WHERE eventId = CAST(CONV(LEFT(MD5(%s), 16), 16, 10) AS UNSIGNED)"
        " AND unixSeconds BETWEEN %s AND %s",
        (name, begin, end - 1),
    ),
    "by region": (
        "SELECT SUM(count) FROM region_minutes WHERE unixSeconds >= %s AND unixSeconds < %s",
        (begin, end),
    ),
    "total": ("CALL total(%s, %s, %s)", (name, begin, end)),
    "series": ("CALL series(%s, %s, %s, '1h')", (name, begin, end)),
    "local day": (
        "SELECT CAST(DATE(CONVERT_TZ(TIMESTAMP'1970-01-01 00:00:00' + INTERVAL unixSeconds SECOND, 'UTC', 'Europe/Berlin')) AS CHAR) AS local_day, SUM(count)"
        " FROM named_minutes WHERE tagName = %s GROUP BY local_day ORDER BY local_day",
        (name,),
    ),
    "ids": ("SELECT eventId, eventIdText FROM event_tags WHERE tagName = %s", (name,)),
    # What Grafana, Metabase and Superset write by themselves.
    "local times": (
        "SELECT UNIX_TIMESTAMP(createDate) DIV 3600 * 3600 AS hour, SUM(count) FROM named_minutes"
        " WHERE tagName = %s AND createDate BETWEEN FROM_UNIXTIME(%s) AND FROM_UNIXTIME(%s) GROUP BY hour ORDER BY hour",
        (name, begin, end - 1),
    ),
    "local period": ("CALL total(%s, FROM_UNIXTIME(%s), FROM_UNIXTIME(%s))", (name, begin, end)),
    "times": ("SELECT MIN(createDate) FROM named_minutes WHERE tagName = %s", (name,)),
}


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value if isinstance(value, (str, int, type(None))) else int(value)


def asked(cursor, sql, parameters):
    try:
        cursor.execute(sql, parameters)
        rows = [[plain(value) for value in row] for row in cursor.fetchall()]
        while cursor.nextset():
            pass
        return rows
    except (pymysql.MySQLError, mysql.connector.Error) as error:
        return str(error)


def answers(connection, zone, **options):
    cursor = connection.cursor(**options)
    cursor.execute(f"SET time_zone = '{zone}'")
    return {question: asked(cursor, sql, parameters) for question, (sql, parameters) in QUESTIONS.items()}


def connect(driver):
    return driver.connect(unix_socket=socket, user=user, password=password, database="eventtracker")


print(
    json.dumps(
        {
            "PyMySQL": {zone: answers(connect(pymysql), zone) for zone in ZONES},
            "mysql-connector": {zone: answers(connect(mysql.connector), zone) for zone in ZONES},
            "mysql-connector, prepared": {zone: answers(connect(mysql.connector), zone, prepared=True) for zone in ZONES},
        }
    )
)
