"""Verdicts, long-form tables, their renderings, directions over replicates, and the command lines."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.bootstrap import Estimate, interval
from workflow_scripts.lib.metrics.record import bootstrap_path, write_metrics
from workflow_scripts.lib.results import directions, render, verdicts
from workflow_scripts.lib.results.evidence import Evidence
from workflow_scripts.lib.results.tables import ScaledTable, long_form, notes
from workflow_scripts.lib.results.writing import markdown_table
from workflow_scripts.lib.spec import load_config, parse_policy
from workflow_scripts.lib.spec.tables import Column, PlannedRow, Row, Table

NOISE = np.linspace(-0.2, 0.2, 201)  # its 2.5 and 97.5 % quantiles are -0.19 and 0.19


def measure(folder: Path, policy: str, selection: str, **values: float) -> Path:
    """A metrics file with these values; their bootstraps share one noise, so paired differences have none."""
    path = folder / policy / f"{selection}.json"
    columns = {name: value + NOISE for name, value in values.items()}
    metrics = {name: interval(value, columns[name])._asdict() | {"n": 64} for name, value in values.items()}
    write_metrics(path, policy, selection, num_prompts=64, metrics=metrics, columns=pd.DataFrame(columns))
    return path


def row(name: str, policy: str, paper: dict, better_than: tuple = (("SD1.5", "Base"),), **about: str) -> Row:
    measured = {"policy": policy, "round": None, "selection": "first", "reward": None, "candidates": 1, "lines": {}}
    return Row(base="SD1.5", row=name, **measured, paper=paper, better_than=better_than, **about)


COLUMNS = [
    Column("fid", "lower", 2, tolerance=2.0),
    Column("hps", "higher", 3, tolerance=0.05),
    Column("crisp", "higher", 1),
]
ROWS = [
    row("Base", "sd15", {"fid": 72.06, "hps": 0.277}, better_than=()),
    row("DPO", "sd15_dpo", {"fid": 63.61, "hps": 0.277}, note="An odd_note & more."),
    row("SFT", "sd15_sft", {"fid": 74.0, "hps": 0.281}, paper_source="Tab. 9"),
    row("Later", "sd15_later", {"fid": 60.0}),
]
TABLE = Table("tab1", "Tab. 1: quality", "A caption with 100 %.", "Base", False, COLUMNS, ROWS, None)
PLANNED = [PlannedRow(one, one.policy, "first", "scale runs 1 round" if one.row == "Later" else "") for one in ROWS]
TITLES = {"fid": "FD (tiny extractor)", "hps": "tiny HPS", "crisp": "crispness"}


def table_at(scale: str) -> ScaledTable:
    return ScaledTable(TABLE, scale, PLANNED, COLUMNS, TITLES)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """The long form of one set of metrics, judged at tiny and at paper scale."""
    folder = tmp_path_factory.mktemp("metrics")
    paths = [
        measure(folder, "sd15", "first", fid=72.5, hps=0.30, crisp=1.0),
        measure(folder, "sd15_dpo", "first", fid=70.0, hps=0.35, crisp=0.8),
        measure(folder, "sd15_sft", "first", fid=70.004, hps=0.20, crisp=1.0),
    ]
    return {scale: long_form(table_at(scale), Evidence(paths)) for scale in ("tiny", "paper")}


def cell(rows: pd.DataFrame, name: str, column: str) -> pd.Series:
    return rows[(rows["row"] == name) & (rows["column"] == column)].iloc[0]


@pytest.mark.parametrize(
    ("expected", "difference", "verdict"),
    [
        (-1, (-2.0, -3.0, -1.0), "same direction, CI excludes 0"),
        (-1, (-2.0, -5.0, 1.0), "same direction, not distinguishable"),
        (-1, (2.0, -1.0, 5.0), "opposite direction, not distinguishable"),
        (-1, (2.0, 1.0, 3.0), "opposite direction, CI excludes 0"),
        (1, (2.0, 1.0, 3.0), "same direction, CI excludes 0"),
        (1, (2.0, 0.0, 4.0), "same direction, not distinguishable"),
        (1, (-2.0, -3.0, -1.0), "opposite direction, CI excludes 0"),
        (1, (0.0, 0.0, 0.0), "no difference"),
        (0, (2.0, 1.0, 3.0), "no direction expected"),
    ],
)
def test_directions_by_hand(expected, difference, verdict):
    assert verdicts.direction(expected, Estimate(*difference)) == verdict


def test_tolerance_is_absolute_and_inclusive():
    assert verdicts.reproduced(63.0, 65.0, 2.0) == verdicts.reproduced(67.0, 65.0, 2.0) == "within tolerance"
    assert verdicts.reproduced(62.9, 65.0, 2.0) == "outside tolerance"


def test_combined_verdict_is_students_t():
    estimate, verdict = verdicts.combined(-1, [-1.0, -2.0, -3.0])
    # mean -2, standard error 1 / sqrt(3), t(0.975, 2) = 4.30265
    assert estimate == pytest.approx((-2, -2 - 4.30265 / math.sqrt(3), -2 + 4.30265 / math.sqrt(3)), abs=1e-4)
    assert verdict == "same direction, not distinguishable; 3 of 3 replicates agree"
    assert verdicts.combined(-1, [-2.0, -2.1, -1.9])[1] == "same direction, CI excludes 0; 3 of 3 replicates agree"
    assert verdicts.combined(1, [0.0, 0.71 - 0.72, 0.01])[1] == "no difference; 1 of 3 replicates agree"
    assert verdicts.combined(1, [-2.0, -2.1, 0.1])[1].endswith(
        "opposite direction, not distinguishable; 1 of 3 replicates agree"
    )


def test_tiny_verdicts_are_about_directions_only(rows):
    tiny = rows["tiny"].set_index(["row", "column"])["verdict"]
    assert tiny["Base", "fid"] == "baseline"
    assert tiny["DPO", "fid"] == "same direction, CI excludes 0", "the paper: 63.61 < 72.06, ours 70 < 72.5"
    assert tiny["DPO", "hps"] == "no direction expected"
    assert tiny["DPO", "crisp"] == "opposite direction, CI excludes 0", "no values in the paper: higher is better"
    assert tiny["SFT", "fid"] == "opposite direction, CI excludes 0", "the paper's own value is worse than its base"
    assert tiny["SFT", "hps"] == "opposite direction, CI excludes 0"
    assert tiny["SFT", "crisp"] == "no difference"
    assert tiny["Later", "fid"] == "not run: scale runs 1 round"
    assert not tiny.str.contains("tolerance").any()


def test_paper_verdicts_are_about_values_first(rows):
    paper = rows["paper"].set_index(["row", "column"])["verdict"]
    assert paper["Base", "fid"] == "within tolerance; baseline"
    assert paper["DPO", "fid"] == "outside tolerance; same direction, CI excludes 0", "6.39 from 63.61"
    assert paper["SFT", "hps"] == "outside tolerance; opposite direction, CI excludes 0"
    assert paper["DPO", "crisp"] == "opposite direction, CI excludes 0", "the paper has no such column"


def test_long_form_has_all_that_a_verdict_rests_on(rows):
    dpo = cell(rows["tiny"], "DPO", "fid")
    assert (dpo["paper"], dpo["ours"], dpo["n"], dpo["against"], dpo["expected"]) == (63.61, 70.0, 64, "Base", -1)
    assert dpo[["difference", "difference_low", "difference_high"]].tolist() == pytest.approx([-2.5] * 3)
    assert (dpo["ci_low"], dpo["ci_high"]) == pytest.approx((69.81, 70.19))
    assert dpo["command"].startswith("snakemake /") and dpo["command"].endswith("sd15_dpo/first.json")
    assert cell(rows["tiny"], "Later", "fid")[["ours", "n", "command"]].isna().all()
    assert list(notes(TABLE)) == [
        "SD1.5, DPO: An odd_note & more.",
        "SD1.5, SFT: the paper's values are those of Tab. 9.",
    ]


def test_replicates_are_averaged_and_must_be_the_same_for_all(tmp_path):
    paths = [measure(tmp_path, "sd15", "first", fid=10.0), measure(tmp_path, "sd15@1", "first", fid=14.0)]
    paths += [measure(tmp_path, "sd15_dpo.r3", "first", fid=9.0), measure(tmp_path, "sd15_dpo@1.r3", "first", fid=12.0)]
    evidence = Evidence(reversed(paths))
    found = evidence.summary(("sd15", "first"), "fid")
    assert (found.estimate.value, found.replicates, found.n) == (12, 2, 64)
    assert found.sd == pytest.approx(math.sqrt(8))
    assert evidence.difference(("sd15_dpo.r3", "first"), ("sd15", "first"), "fid").value == pytest.approx(-1.5)
    each = evidence.differences(("sd15_dpo.r3", "first"), ("sd15", "first"), "fid")
    assert {replicate: one.value for replicate, one in each.items()} == pytest.approx({0: -1, 1: -2})
    with pytest.raises(UserError, match=r"sd15_dpo.r3/first was measured in replicates \[0\], sd15/first in \[0, 1\]"):
        Evidence(paths[:3])
    with pytest.raises(UserError, match="measure the same"):
        Evidence([paths[0], paths[0]])


def test_wrong_metrics_files_are_refused(tmp_path):
    base = measure(tmp_path, "sd15", "first", fid=10.0)
    evidence = Evidence([base])
    with pytest.raises(UserError, match="no metrics file of sd15/ganrm.best10 was given; given: sd15/first"):
        evidence.summary(("sd15", "ganrm.best10"), "fid")
    with pytest.raises(UserError, match="no metric 'hps', only fid"):
        evidence.summary(("sd15", "first"), "hps")
    other = measure(tmp_path, "sd15_dpo", "first", fid=9.0)
    other.write_text(json.dumps(json.loads(other.read_text()) | {"n": 32}))
    with pytest.raises(UserError, match="cannot be compared prompt by prompt"):
        Evidence([base, other]).difference(("sd15_dpo", "first"), ("sd15", "first"), "fid")
    bootstrap_path(base).unlink()
    with pytest.raises(UserError, match=r"cannot read .*bootstrap.parquet.*rm -f"):
        Evidence([base]).summary(("sd15", "first"), "fid")


def test_best_values_are_those_that_print_best(rows):
    found = {line[0]: [one.best for one in line[1]] for line in render.grid(rows["tiny"]).blocks[0][1]}
    assert found["DPO"] == [True, True, False]
    assert found["SFT"] == [True, False, True], "70.00 equals 70.004 as printed"
    assert found["Base"] == [False, False, True]
    assert found["Later"] == [False, False, False]


def test_markdown_says_what_is_compared(rows):
    tiny = render.markdown(rows["tiny"], TABLE.title, TABLE.caption, list(notes(TABLE)))
    assert tiny.startswith(
        "# Tab. 1: quality (tiny scale)\n\n> Numbers at scale tiny are never compared with the paper's values"
    )
    assert "| base | row | FD (tiny extractor) ↓ | tiny HPS ↑ | crispness ↑ |" in tiny
    assert "|  | DPO | **70.00** ± 0.19 ✓ | **0.350** ± 0.190 | 0.8 ± 0.2 ✗ |" in tiny
    assert "|  | Later | – | – | – |" in tiny
    assert "63.61" not in tiny and "FID" not in tiny, "the paper's values do not stand beside tiny ones"
    assert "| -2.500 [-2.500, -2.500] to Base | lower | 64 | same direction, CI excludes 0 |" in tiny
    paper = render.markdown(rows["paper"], TABLE.title, TABLE.caption)
    assert "**70.00** ± 0.19 (63.61) ✗" in paper and "never compared" not in paper


def test_a_table_without_expectations_and_values_of_the_paper_claims_nothing(tmp_path):
    paths = [measure(tmp_path, "sd15", "first", fid=72.5), measure(tmp_path, "sd15_dpo", "first", fid=70.0)]
    asked = [row("Base", "sd15", {}, better_than=()), row("DPO", "sd15_dpo", {}, better_than=())]
    for base_row, scale in ((None, "tiny"), ("Base", "paper")):
        table = replace(TABLE, base_row=base_row, columns=COLUMNS[:1], rows=asked)
        planned = [PlannedRow(one, one.policy, "first") for one in asked]
        shown = long_form(ScaledTable(table, scale, planned, COLUMNS[:1], TITLES), Evidence(paths))
        page = render.markdown(shown, table.title, table.caption)
        assert "> One replicate, ± half the width" in page and "**70.00**" in page
        assert not [words for words in ("✓", "paper's", "Verdicts", "nan") if words in page.split("## Commands")[0]]
        assert "nan" not in render.latex(shown, table.title, table.caption) + render.terminal(shown)


def test_a_bar_in_a_text_ends_no_cell_of_a_markdown_table():
    assert list(markdown_table(["a"], [["b|c"]]))[-1] == r"| b\|c |"


def test_latex_is_a_booktabs_table_with_everything_escaped(rows):
    text = render.latex(rows["paper"], TABLE.title, TABLE.caption)
    assert r"\caption{Tab. 1: quality. A caption with 100 \%." in text
    assert r"SD1.5 & Base & 72.50{\scriptsize$\pm$0.19} (72.06) $\checkmark$ &" in text
    assert r" & DPO & \textbf{70.00}{\scriptsize$\pm$0.19} (63.61) $\times$ &" in text
    assert text.count(r"\midrule") == 1 and r"\toprule" in text and r"\bottomrule" in text
    assert all(line.count(" & ") == 4 for line in text.splitlines() if line.endswith(r"\\"))
    assert not set("✓✗±↑↓–") & set(text)


def test_terminal_rendering_is_aligned(rows):
    lines = render.terminal(rows["tiny"]).splitlines()
    assert lines[0] == "tab1 (tiny scale)"
    body = [line for line in lines if " ✓" in line or " ✗" in line][:2]
    assert "70.00*" in body[0] and "\033[1m70.00\033[0m" in render.terminal(rows["tiny"], bold=True)
    marks = [max(line.find("✓ "), line.find("✗ ")) for line in body]
    assert marks[0] == marks[1] > 0


def planned_metrics(config, scale: str, folder: Path, replicates=(0, 1, 2)) -> list[str]:
    """Metrics files for every row of Tab. 1 of the real configuration: each row better than the one before."""
    paths = []
    for replicate in replicates:
        for step, (policy, _, selection) in enumerate(config.table_measurements("ganrm_tab1", scale, replicate)):
            gain = step + 0.01 * replicate
            values = {
                column.name: -gain if column.better == "lower" else gain
                for column in config.table_columns("ganrm_tab1", scale)
            }
            assert parse_policy(policy).replicate == replicate
            paths.append(str(measure(folder, policy, selection, **values)))
    return paths


def test_commands_make_the_table_of_the_configuration(tmp_path):
    config = load_config()
    metrics = planned_metrics(config, "tiny", tmp_path)
    out = [str(tmp_path / f"tab1{suffix}") for suffix in (".csv", ".md", ".tex")]
    spy = "import sys; from workflow_scripts.make_table import *; main(); print('torch' in sys.modules)"
    command = [
        sys.executable,
        "-c",
        spy,
        "--table",
        "ganrm_tab1",
        "--scale",
        "tiny",
        "--metrics",
        *metrics,
        "--out",
        *out,
    ]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.stdout == "False\n", made.stderr
    rows = render.read_rows(out[0])
    run = rows[rows["ours"].notna()]
    cells = len(config.table_measurements("ganrm_tab1", "tiny")) * len(config.table_columns("ganrm_tab1", "tiny"))
    assert len(run) == cells and (run["replicates"] == 3).all()
    gains = run[(run["against"] == "Base-model") & ~run["paper"].notna()]
    assert len(gains) and (gains["verdict"] == "same direction, CI excludes 0").all()
    from_file = [sys.executable, "-m", "workflow_scripts.make_table", "--print", out[0]]
    shown = subprocess.run(from_file, capture_output=True, text=True, check=True).stdout
    assert shown == render.terminal(rows) + "\n"
    refused = subprocess.run([*from_file[:-1], out[1]], capture_output=True, text=True)
    assert refused.returncode == 2 and "remake it" in refused.stderr


def test_directions_over_replicates(tmp_path):
    from workflow_scripts.summarize_directions import main as summarize_directions

    config = load_config()
    metrics = planned_metrics(config, "tiny", tmp_path)
    out = tmp_path / "directions.csv", tmp_path / "directions.md"
    options = ["--table", "ganrm_tab1", "--scale", "tiny", "--metrics"]
    summarize_directions([*options, *metrics, "--out", *map(str, out)])
    rows = pd.read_csv(out[0])
    claim = rows[(rows["base"] == "SD1.5") & (rows["row"] == "Ours-RM@10") & (rows["column"] == "hps")]
    assert claim["replicate"].tolist() == ["0", "1", "2", directions.ALL]
    gain = config.table_measurements("ganrm_tab1", "tiny").index(("sd15", "eval", "ganrm.best10"))
    assert claim["difference"].tolist() == pytest.approx([gain] * 4)
    assert claim["verdict"].iloc[-1] == "same direction, CI excludes 0; 3 of 3 replicates agree"
    text = out[1].read_text()
    assert f"{len(rows) // 4} claims: " in text and "replicate 2" in text
    with pytest.raises(UserError, match="needs 3 of them, got 2"):
        summarize_directions([*options, *planned_metrics(config, "tiny", tmp_path, (0, 1)), "--out", str(out[0])])


def test_other_formats_are_refused(tmp_path):
    from workflow_scripts.lib.results.writing import write_texts

    with pytest.raises(UserError, match=r"known formats: \.csv, \.md"):
        write_texts([tmp_path / "a.csv", tmp_path / "a.html"], {".csv": str, ".md": str})
    assert not list(tmp_path.iterdir()), "nothing is written when one format is unknown"
