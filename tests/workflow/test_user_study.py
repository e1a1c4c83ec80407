"""The user study within the workflow: a page and a stand-in from what other targets made, votes that people sent."""

from __future__ import annotations

import csv

import pytest

from tests.unit.study_examples import votes_of
from tests.unit.test_votes import csv_of
from tests.workflow.study import IMAGES, PROMPTS, Study, jobs_of
from workflow_scripts.lib.study.key import read_key

NAME = "ganrm_user_study"
RESULTS, VOTES = f"results/tiny/studies/{NAME}", f"resources/votes/tiny/{NAME}"
MADE = {"make_user_study": 1, "proxy_win_rate": 1, NAME: 1, "total": 3}


@pytest.fixture(scope="module")
def surveyed(finished, tmp_path_factory) -> Study:
    """A copy of the finished run in which the study has been made."""
    study = finished.copy(tmp_path_factory.mktemp("surveyed") / "study")
    study.log = study.snakemake(NAME).stdout
    return study


def rows_of(study: Study, suffix: str) -> list[dict[str, str]]:
    return list(csv.DictReader((study.root / f"{RESULTS}.{suffix}").read_text().splitlines()))


def test_page_and_stand_in_cost_two_jobs_after_the_table(surveyed):
    assert jobs_of(surveyed.log) == MADE
    key = read_key(surveyed.root / f"{RESULTS}.key.json")
    assert [pair.pair for pair in key.pairs] == [str(number * IMAGES // PROMPTS) for number in range(PROMPTS)]
    assert (key.a.policy, key.b.policy) == ("sd15", "sd15_dpo.r3")
    assert "sd15" not in (surveyed.root / f"{RESULTS}.html").read_text()
    scorers = [row["scorer"] for row in rows_of(surveyed, "proxy.csv")]
    assert scorers[-2:] == ["scene accuracy", "crispness"] and "tiny PickScore" in scorers
    assert {row["prompts"] for row in rows_of(surveyed, "proxy.csv")} == {str(PROMPTS)}


def test_without_votes_there_is_no_win_rate_but_a_message(surveyed):
    assert not (surveyed.root / f"{RESULTS}.votes.csv").exists()
    done = surveyed.snakemake(f"{RESULTS}.votes.csv", check=False)
    assert done.returncode != 0 and f"no votes in {VOTES}: give raters the page" in done.stdout


def test_votes_that_people_sent_are_counted_and_nothing_is_made_again(surveyed, tmp_path):
    study = surveyed.copy(tmp_path / "study")
    key = read_key(study.root / f"{RESULTS}.key.json")
    (study.root / VOTES).mkdir(parents=True)
    rows = votes_of(key, "ann", lambda number, _: number % 2 == 0, questions=("preference",))
    (study.root / VOTES / "ann.csv").write_text(csv_of(rows))
    done = study.snakemake(NAME)
    assert jobs_of(done.stdout) == {"analyse_votes": 1, NAME: 1, "total": 2}
    (row,) = rows_of(study, "votes.csv")
    assert (row["win_rate"], row["votes"], row["raters"], row["paper"]) == ("50.0", str(PROMPTS), "1", "74.4")
    (study.root / VOTES / "bob.csv").write_text(csv_of(rows).replace("ann", "bob").replace("preference", "taste", 1))
    done = study.snakemake(NAME, check=False)
    log = (study.root / f"results/tiny/logs/analyse_votes/{NAME}.log").read_text()
    assert done.returncode != 0 and "unknown question 'taste'" in log and f"({VOTES}/bob.csv:2)" in log


def test_another_look_of_the_page_makes_the_page_again(surveyed, tmp_path):
    study = surveyed.copy(tmp_path / "study")
    study.replace("workflow_scripts/lib/study/page.css", "--accent: #1f5fbf;", "--accent: #1f5fbe;")
    assert "make_user_study" in study.dry_run(NAME)


def test_the_report_shows_the_study(surveyed):
    surveyed.snakemake("--report", "report.html", NAME)
    report = (surveyed.root / "report.html").read_text()
    assert "User studies" in report and "page for raters" in report and "automatic stand-in" in report
