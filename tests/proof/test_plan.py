"""What the full run and the quick selection hold, without running it."""

from collections import Counter

import pytest

from tests.proof import cloud_plan
from tests.proof.cells import Cell
from tests.proof.cloud_places import S3, Azure, CloudStore
from tests.proof.cloud_plan import CLOUD_CELLS, FULL, QUICK
from tests.proof.report import GROUP_MINIMUMS


def group(cell: Cell) -> tuple[str, str, str]:
    return cell.store.name, cell.format_name, cell.source


def test_every_cloud_is_proven_with_every_format_and_source_in_both_modes() -> None:
    stores, formats, sources = ("S3", "Azure Blob"), ("Parquet", "JSON lines"), ("keyset with ties", "REST paged")
    wanted = {(store, kind, source): 2 for store in stores for kind in formats for source in sources}
    assert Counter(map(group, CLOUD_CELLS)) == wanted
    assert FULL.cells == CLOUD_CELLS


def test_every_group_of_the_full_run_has_each_section_that_has_a_minimum_and_red_controls() -> None:
    jobs = [*cloud_plan.jobs(FULL)]
    for cell in CLOUD_CELLS:
        sections = [(job.section, job.red) for job in jobs if group(job.cell) == group(cell)]
        assert all(any(part in section for section, red in sections if not red) for part in GROUP_MINIMUMS)
        assert sum(red for _, red in sections) >= 2


def test_every_cloud_is_in_the_quick_selection() -> None:
    reason = cloud_plan.why_azure_is_left_out()
    stores = {job.cell.store.name for job in cloud_plan.jobs(QUICK)}
    assert stores == ({"S3"} if reason else {"S3", "Azure Blob"})
    if reason:
        pytest.skip(f"Azure Blob is left out: {reason}")


@pytest.mark.parametrize("store", [S3(), Azure()], ids=lambda store: store.name)
def test_a_section_about_a_cloud_begins_with_its_name(store: CloudStore) -> None:
    sections = [job.section for job in cloud_plan.jobs(FULL) if job.cell.store.name == store.name]
    assert sections
    assert all(section.startswith(f"{store.name.split()[0]}, ") for section in sections)
