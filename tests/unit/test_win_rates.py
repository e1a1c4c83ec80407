"""Win rates: the pigeonhole bootstrap against other computations of it, and the automatic stand-in by hand."""

import csv

import numpy as np
import pandas as pd
import pytest

from tests.unit.study_examples import study_of, write_page
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.bootstrap import resample_indices
from workflow_scripts.lib.seeds import seed_of
from workflow_scripts.lib.study.proxy import LABEL, proxy_win_rates, wins_of
from workflow_scripts.lib.study.votes import Vote
from workflow_scripts.lib.study.win_rate import pigeonhole_bootstrap, votes_matrix


def votes_with_effects(rng, raters=14, prompts=50, effect=1.0):
    """Votes (raters, prompts) whose log odds are a rater's leaning plus a prompt's."""
    leaning = effect * (rng.standard_normal((raters, 1)) + rng.standard_normal((1, prompts)))
    return (rng.random((raters, prompts)) < 1 / (1 + np.exp(-0.8 - leaning))).astype(float)


def exact_variance(values):
    """Variance of the mean of a balanced table (I, J) under independent draws of rows and columns, term by term.

    With multinomial counts W of rows, E[W_i W_k] = 1 - 1/I + (i = k), and so for columns; sums of a centred table
    vanish, which leaves its squares, its row sums and its column sums.
    """
    rows, columns = values.shape
    centred = values - values.mean()
    squares = np.square(centred).sum()
    row_sums, column_sums = (np.square(centred.sum(axis=axis)).sum() for axis in (1, 0))
    return (squares + (1 - 1 / columns) * row_sums + (1 - 1 / rows) * column_sums) / values.size**2


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_the_variance_is_the_exact_one_on_balanced_votes(effect):
    values = votes_with_effects(np.random.default_rng(1), effect=effect)
    column = pigeonhole_bootstrap(values, 40_000, seed=0)
    assert column.var() == pytest.approx(exact_variance(values), rel=0.03)
    assert column.mean() == pytest.approx(values.mean(), abs=0.002)


def test_the_exact_variance_is_that_of_all_draws():
    """The formula that the test above trusts, against the 27 x 4 draws of a table of 3 x 2."""
    values = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    means = [values[np.ix_(rows, columns)].mean() for rows in np.ndindex(3, 3, 3) for columns in np.ndindex(2, 2)]
    assert exact_variance(values) == pytest.approx(np.var(means))


def test_a_resample_is_the_mean_of_the_votes_it_draws():
    """Votes that are missing, against lists of drawn votes."""
    values = votes_with_effects(np.random.default_rng(2), raters=4, prompts=6)
    values[np.random.default_rng(3).random(values.shape) < 0.5] = np.nan
    rows, columns = (resample_indices(size, 50, seed_of(5, "pigeonhole", axis)) for axis, size in enumerate((4, 6)))
    expected = [np.nanmean([values[i, j] for i in rows[r] for j in columns[r]] or [np.nan]) for r in range(50)]
    np.testing.assert_allclose(pigeonhole_bootstrap(values, 50, seed=5), expected)


def test_raters_who_agree_with_themselves_widen_the_interval():
    leaning = np.repeat([[1.0], [1.0], [1.0], [0.0]], 50, axis=1)
    spread = pigeonhole_bootstrap(leaning, 4000, seed=0).std()
    assert spread == pytest.approx(np.sqrt(0.75 * 0.25 / 4), rel=0.05), "four raters, not two hundred votes"


def test_intervals_hold_the_truth():
    """Coverage over new raters and new prompts; conservative, so at least the nominal 95 % less the error of 200."""
    rng = np.random.default_rng(4)
    truth = np.mean([votes_with_effects(rng, 200, 200).mean() for _ in range(20)])
    held = 0
    for seed in range(200):
        low, high = np.quantile(pigeonhole_bootstrap(votes_with_effects(rng, 20, 40), 400, seed), [0.025, 0.975])
        held += low <= truth <= high
    assert held >= 0.9 * 200


def test_votes_stand_by_rater_and_prompt():
    votes = [Vote("bob", "10", "q", True, True), Vote("ann", "2", "q", False, True), Vote("bob", "2", "q", True, False)]
    np.testing.assert_array_equal(votes_matrix(votes), [[np.nan, 0], [1, 1]])  # ann, bob; pairs 10, 2 as texts


# The automatic stand-in


def test_wins_by_hand():
    a, b = np.array([1.0, 2.0, 3.0, np.nan, 5.0]), np.array([2.0, 2.0, 1.0, 4.0, np.nan])
    np.testing.assert_array_equal(wins_of(a, b), [1, 0.5, 0, np.nan, np.nan])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, write_page(folder, study_of())[2]


def scores(values):
    return pd.Series(values, index=[f"{number:06d}-00" for number in range(len(values))], dtype=float)


def test_shares_of_prompts(study):
    a = {"p": scores([0, 0, 0, 0, 0, 0]), "q": scores([0, 0, 0, 0, np.nan, 0])}
    b = {"p": scores([1, 1, 1, 0, -1, -1]), "q": scores([1, 1, -1, -1, 1, np.nan])}
    p, q = proxy_win_rates(a, b, study[1], resamples=500, seed=0)
    assert (p.scorer, p.estimate.value, p.prompts, p.ties) == ("p", pytest.approx(3.5 / 6), 6, 1)
    assert (q.estimate.value, q.prompts, q.ties) == (0.5, 4, 0)
    assert p.estimate.ci_low < 3.5 / 6 < p.estimate.ci_high


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ({"p": scores([0] * 6)}, {"q": scores([0] * 6)}, "scores of A are by p, of B by q"),
        ({"p": scores([0] * 6)}, {"p": scores([0] * 5)}, "no score of image 000005-00 of policy B"),
        ({"p": scores([0] * 6)}, {"p": scores([np.nan] * 6)}, "p scores no prompt of the study"),
    ],
)
def test_scores_that_do_not_fit_are_refused(study, a, b, says):
    with pytest.raises(UserError, match=says):
        proxy_win_rates(a, b, study[1], resamples=10, seed=0)


def test_the_command_line_says_what_it_is(study):
    from workflow_scripts.proxy_win_rate import main

    folder, _ = study
    words = ["--key", f"{folder}/key.json", "--resamples", "100", "--out", f"{folder}/p.csv", f"{folder}/p.md"]
    for side, values in (("a", [0, 0, 0, 0, 0, 0]), ("b", [1, 1, 1, 1, 1, 0])):
        table = scores(values).rename("score").rename_axis("key").reset_index()
        table.iloc[:3].to_parquet(folder / f"{side}0.parquet")
        table.iloc[3:].to_parquet(folder / f"{side}1.parquet")
        words += [f"--{side}", *(f"tiny: judge:score={folder}/{side}{part}.parquet" for part in range(2))]
    main(words)
    (row,) = csv.DictReader((folder / "p.csv").read_text().splitlines())
    assert (row["what"], row["scorer"], row["prompts"], row["ties"]) == (LABEL, "tiny: judge", "6", "1")
    assert float(row["b_above_a"]) == pytest.approx(100 * 5.5 / 6, abs=1e-3)
    page = (folder / "p.md").read_text()
    assert page.startswith("# my_study: automatic stand-in, not people's votes") and "No person has voted" in page
    assert "70" not in page, "the paper's human win rate does not stand beside it"
