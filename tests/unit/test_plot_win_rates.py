"""Bars of user studies: votes and stand-in are told apart, and the paper's number stands beside votes alone."""

import pandas as pd
import pytest
from PIL import Image

from tests.unit.study_examples import study_of
from workflow_scripts import plot_win_rates
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.results.win_rates import PROXY, VOTES, draw_win_rates, read_panel

INTERVAL = {"ci_low": [60.0, 40.0], "ci_high": [80.0, 60.0]}
VOTED = {"question": ["quality", "alignment"], "win_rate": [70.0, 50.0], **INTERVAL, "paper": [75.0, None]}
SCORED = {"scorer": ["PickScore", "OCR"], "b_above_a": [70.0, 50.0], **INTERVAL}


def write(path, study="my_study", **columns):
    pd.DataFrame({"study": [study] * 2, **columns}).to_csv(path, index=False)
    return path


def test_votes_have_the_papers_share_and_a_stand_in_has_none(tmp_path):
    votes = read_panel(study_of(), write(tmp_path / "a.csv", **VOTED))
    assert (votes.a, votes.b, votes.source) == ("FirstTitle", "SecondTitle", VOTES)
    assert [(bar.name, bar.share, bar.paper) for bar in votes.bars] == [("quality", 70, 75), ("alignment", 50, None)]
    proxy = read_panel(study_of(), write(tmp_path / "b.csv", **SCORED))
    assert proxy.source == PROXY and [bar.name for bar in proxy.bars] == ["PickScore", "OCR"]
    assert [(bar.low, bar.high, bar.paper) for bar in proxy.bars] == [(60, 80, None), (40, 60, None)]


def test_each_bar_is_as_long_as_its_share_and_says_what_it_is(tmp_path):
    panels = [read_panel(study_of(), write(tmp_path / "a.csv", **columns)) for columns in (VOTED, SCORED, SCORED)]
    axes = draw_win_rates(panels).axes
    assert len(axes) == 3
    assert [bar.get_width() for bar in axes[0].patches] == [100, 70, 100, 50]
    assert axes[0].patches[1].get_facecolor() != axes[1].patches[1].get_facecolor()
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles[0] == "SecondTitle\nagainst FirstTitle\n(votes)" and "not votes" in titles[1]
    diamonds = [[line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() == "D"] for ax in axes]
    assert diamonds == [[75], [], []]


def test_the_command_line_draws_studies_in_order(tmp_path):
    files = [str(write(tmp_path / f"{name}.csv", name, **SCORED)) for name in ("advgrpo_fig4a", "advgrpo_fig4b")]
    words = ["--studies", "advgrpo_fig4a", "advgrpo_fig4b", "--out", str(tmp_path / "fig.png"), "--win-rates"]
    plot_win_rates.main([*words, *files])
    with Image.open(tmp_path / "fig.png") as image:
        assert image.width > 2 * image.height > 0
    with pytest.raises(UserError, match="does not hold the win rates of study 'advgrpo_fig4a'"):
        plot_win_rates.main([*words, *reversed(files)])
    with pytest.raises(UserError, match="2 studies but 1 files"):
        plot_win_rates.main([*words, files[0]])
