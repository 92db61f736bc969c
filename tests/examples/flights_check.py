"""Whether files hold exactly the flights of the data set."""

import subprocess
import sys
from pathlib import Path

import duckdb

from examples.flights_data import archive_path


def differences(parts: str, scratch: Path) -> tuple[int, int, int, int]:
    """Rows of the files, rows of the data set, rows that only the data set has, rows that only the files have.

    Args:
        parts: The pattern of the Parquet files.
        scratch: An empty folder.
    """
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(archive_path()), str(scratch)], check=True)
    query = f"""
        WITH data AS (
                 SELECT COLUMNS(* EXCLUDE time_hour), epoch(rtrim(time_hour, 'Z')::TIMESTAMP)
                 FROM read_csv('{scratch}/flights.csv', all_varchar = true, nullstr = 'NA')
             ),
             lake AS (
                 SELECT COLUMNS(* EXCLUDE time_hour)::VARCHAR, epoch(time_hour)
                 FROM read_parquet('{parts}')
             )
        SELECT (SELECT count(*) FROM lake), (SELECT count(*) FROM data),
               (SELECT count(*) FROM (FROM data EXCEPT ALL FROM lake)),
               (SELECT count(*) FROM (FROM lake EXCEPT ALL FROM data))
    """
    with duckdb.connect() as connection:
        (found,) = connection.execute(query).fetchall()
    rows, expected, missing, surplus = found
    return rows, expected, missing, surplus
