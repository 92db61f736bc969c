"""The same pages through dlt's REST API source into Parquet files, `python rest_dlt.py URL FOLDER`.

Runs in an environment of its own, so it imports nothing of this project. How dlt is tuned is in its environment.
"""

import sys
from pathlib import Path

import dlt  # type: ignore[import-not-found,unused-ignore]
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found,unused-ignore]


def main(url: str, folder: str) -> None:
    """Load all pages of the address into `folder/lake`."""
    base, _, path = url.rpartition("/")
    source = rest_api_source(
        {
            "client": {"base_url": base},
            "resources": [
                {
                    "name": "orders",
                    # All other types are found by dlt itself; a date would stay a text.
                    "columns": {"day": {"data_type": "date"}},
                    "endpoint": {
                        "path": path,
                        "data_selector": "result.rows",
                        "paginator": {"type": "page_number", "base_page": 1, "total_path": "totalPages"},
                    },
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        pipeline_name="orders",
        pipelines_dir=str(Path(folder, "work")),
        destination=dlt.destinations.filesystem(bucket_url=Path(folder, "lake").resolve().as_uri()),
        dataset_name="bench",
    )
    pipeline.run(source, loader_file_format="parquet").raise_on_failed_jobs()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
