from collections import Counter
from pathlib import Path

from tests.proof.job import Job
from tests.proof.report import MINIMUMS, Report
from tests.proof.table_cells import CELLS
from tests.proof.trial import Outcome


def job(section: str, *, red: bool = False) -> Job:
    return Job(section, CELLS[0], lambda _: Outcome(), red)


def outcome(bad: int = 0, **counts: int) -> Outcome:
    return Outcome(Counter(trials=5, **counts), bad, ["it was wrong"] * bad)


def report(jobs: list[Job], outcomes: list[Outcome], *, full: bool = False) -> Report:
    return Report(jobs, outcomes, full=full)


def test_a_proof_without_a_bad_trial_holds() -> None:
    assert report([job("SIGTERM")], [outcome()]).holds


def test_one_bad_trial_is_enough_for_it_not_to_hold() -> None:
    found = report([job("SIGTERM"), job("SIGTERM")], [outcome(), outcome(bad=1)])
    assert not found.holds
    assert [*found.problems()] == ["SIGTERM: it was wrong"]


def test_a_red_control_that_was_noticed_holds_and_its_problems_are_not_shown() -> None:
    found = report([job("no fsync", red=True)], [outcome(bad=2)])
    assert found.holds
    assert not [*found.problems()]


def test_a_red_control_that_was_not_noticed_does_not_hold() -> None:
    found = report([job("no fsync", red=True)], [outcome()])
    assert not found.holds
    assert [*found.problems()] == ["red control not noticed: no fsync (backfill, Parquet)"]


def test_a_red_control_that_could_not_be_run_does_not_hold() -> None:
    assert not report([job("no fsync", red=True)], [outcome(bad=1, errors=1)]).holds


def test_a_proof_of_nothing_does_not_hold() -> None:
    assert not report([], []).holds


def test_the_full_run_must_reach_its_minimums() -> None:
    jobs, outcomes = [job("kill points")], [outcome(kills=99)]
    assert report(jobs, outcomes).holds
    found = report(jobs, outcomes, full=True)
    assert not found.holds
    assert "kill points: only 99 kills, 100 are needed" in found.problems()


def test_the_full_run_must_reach_its_minimums_in_each_group_of_cells() -> None:
    kills, frozen = Outcome(Counter({"at random": 79}), points={"a", "b"}), Outcome(Counter(frozen=24))
    jobs = [job("S3, kill points"), job("S3, kills at random times"), job("S3, zombies, token")]
    found = report(jobs, [kills, Outcome(), frozen], full=True)
    assert [*found.problems()] == [
        "local disk, Parquet, keyset with ties: only 2 kill points, 40 are needed",
        "local disk, Parquet, keyset with ties: only 79 random kills, 80 are needed",
        "local disk, Parquet, keyset with ties: only 24 zombies, 25 are needed",
    ]
    assert report(jobs, [kills, Outcome(), frozen]).holds


def test_a_group_needs_no_kills_where_no_section_is_about_them() -> None:
    assert report([job("S3, SIGTERM")], [outcome()], full=True).holds


def test_kill_points_that_several_jobs_have_hit_count_once() -> None:
    outcomes = [Outcome(points={"a", "b"}), Outcome(points={"b", "c"})]
    found = report([job("S3, kill points"), job("S3, three kills in a row")], outcomes)
    assert found.to_json()["cells"] == [
        {
            "store": "local disk",
            "format": "Parquet",
            "source": "keyset with ties",
            "kill points": 3,
            "random kills": 0,
            "zombies": 0,
            "requests gone wrong": 0,
            "violations": 0,
        }
    ]


def test_what_a_red_control_finds_is_no_violation() -> None:
    found = report([job("SIGTERM"), job("no fsync", red=True)], [outcome(), outcome(bad=3, frozen=3)])
    assert [(cell["violations"], cell["zombies"]) for cell in found.to_json()["cells"]] == [(0, 0)]


def test_every_minimum_is_about_a_section_that_there_is() -> None:
    source = "".join((Path(__file__).parent / name).read_text() for name in ("plan.py", "rest_plan.py"))
    assert all(f'"{section}"' in source for section in MINIMUMS)


def test_the_tables_hold_what_was_counted() -> None:
    found = report([job("SIGTERM"), job("no fsync", red=True)], [outcome(stops=7), outcome(bad=3)])
    assert found.to_text().splitlines() == [
        "section  stream             trials  processes  faults   bad",
        "SIGTERM  backfill, Parquet  5       0          7 stops  0",
        "",
        "store       format   source            kill points  random kills  zombies  requests gone wrong  violations",
        "local disk  Parquet  keyset with ties  0            0             0        0                    0",
        "",
        "red control: must be noticed  stream             trials  noticed",
        "no fsync                      backfill, Parquet  5       3",
        "",
        "The proof holds.",
    ]
    assert found.to_json()["lines"][0] == {
        "section": "SIGTERM",
        "cell": "backfill, Parquet",
        "red_control": False,
        "trials": 5,
        "processes": 0,
        "faults": {"stops": 7},
        "bad": 0,
    }
