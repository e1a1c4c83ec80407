"""Rows that have some of a table's columns: nothing else is measured, compared or printed for them."""

import pandas as pd
import pytest

from tests.unit.test_tables import measure
from workflow_scripts.lib.results import render
from workflow_scripts.lib.results.evidence import Evidence
from workflow_scripts.lib.results.tables import long_form, scaled_table
from workflow_scripts.lib.spec import load_config


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> pd.DataFrame:
    """Tab. 2 of Adv-GRPO at paper scale; SD3 has the paper's values, every other row a little more than the paper."""
    config, folder = load_config(), tmp_path_factory.mktemp("metrics")
    table, metrics = config.table("advgrpo_tab2"), config.scale("paper").metrics
    paths = []
    for policy, prompt_set, selection in config.table_measurements("advgrpo_tab2", "paper"):
        (row,) = (
            one
            for one in config.table_rows("advgrpo_tab2", "paper")
            if one.policy == policy and prompt_set in config.row_prompt_sets("advgrpo_tab2", one, "paper")
        )
        values = {name: value for name, value in row.row.paper.items() if metrics[name]["prompts"] == prompt_set}
        paths.append(measure(folder / prompt_set, policy, selection, **values))
    assert len(paths) == len(table.rows)
    return long_form(scaled_table(config, "advgrpo_tab2", "paper"), Evidence(paths))


def test_a_cell_that_a_row_lacks_is_empty_and_has_no_verdict(rows):
    measured = rows[rows["ours"].notna()]
    assert list(zip(measured["base"], measured["column"], strict=True)) == [
        (base, column)
        for base, column in (("PickScore", "grpo_pickscore"), ("OCR", "ocr_accuracy"), ("GenEval", "geneval"))
        for _ in range(2)
    ]
    assert (rows[rows["ours"].isna()]["verdict"] == "").all()
    assert len(rows) == 6 * 3


def test_rows_are_compared_in_the_columns_that_both_have(rows):
    compared = rows[rows["against"].notna()].set_index("base")
    assert compared["difference"].to_dict() == pytest.approx({"PickScore": 0.2, "OCR": 0.1, "GenEval": 0.08})
    assert (compared["verdict"] == "within tolerance; same direction, CI excludes 0").all(), compared[
        "verdict"
    ].tolist()


def test_side_by_side_every_base_shows_its_own_columns_only(rows, tmp_path):
    rows.to_csv(tmp_path / "table.csv", index=False)
    for table in (render.grid(rows), render.grid(render.read_rows(tmp_path / "table.csv"))):
        assert [title for title, _ in table.header] == ["PickScore: PickScore", "OCR: OCR accuracy", "GenEval: GenEval"]
        ((_, lines),) = table.blocks
        assert {name: [cell.value for cell in cells] for name, cells in lines} == {
            "SD3": ["21.70", "0.59", "0.61"],
            "Adv-GRPO (DINO)": ["21.90", "0.69", "0.69"],
        }
    text = render.markdown(rows, "Tab. 2", "Caption.")
    assert text.count("| PickScore | Adv-GRPO (DINO) |") == 1 and "nan" not in text
