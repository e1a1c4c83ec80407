"""Fig. 1: the graph of rules read back, laid out and drawn."""

from pathlib import Path

import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.results.pipeline import Pipeline, draw_pipeline, read_pipeline, stages_of

FIRST = """digraph snakemake_dag {
    node[shape=box];
	0[label = "train", color = "0.5 0.6 0.85"];
	1[label = "sample", color = "0.1 0.6 0.85"];
	2[label = "score", color = "0.2 0.6 0.85"];
	3[label = "import", color = "0.2 0.6 0.85"];
	2 -> 0
	1 -> 0
	1 -> 2
	3 -> 2
}"""
NEXT = FIRST.replace("\t3 -> 2\n", "\t3 -> 2\n\t0 -> 1\n\t0 -> 0\n")


def test_columns_follow_the_order_of_work_and_what_a_path_replaces_is_left_out():
    pipeline = read_pipeline(FIRST, NEXT)
    assert pipeline.columns() == {"train": 0, "score": -1, "sample": -2, "import": -2}
    assert set(pipeline.direct()) == {("sample", "score"), ("import", "score"), ("score", "train")}
    assert pipeline.next_round == [("train", "sample")]


def test_the_drawing_shows_every_rule_arrow_and_stage():
    stages = {"train": "training", "sample": "sampling", "score": "rewards", "import": "data"}
    ax = draw_pipeline(read_pipeline(FIRST, NEXT), stages).axes[0]
    assert {"train", "sample", "score", "import", "next round"} <= {text.get_text() for text in ax.texts}
    assert len([text for text in ax.texts if not text.get_text()]) == 4, "an arrow for each edge"
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(stages.values())


def test_no_graph_and_a_cycle_are_refused():
    with pytest.raises(UserError, match="no graph of rules"):
        read_pipeline("digraph {}")
    with pytest.raises(UserError, match="has a cycle"):
        Pipeline(["a", "b"], [("a", "b"), ("b", "a")]).columns()


def test_stages_are_the_files_of_the_rules():
    stages = stages_of(sorted(Path("rules").glob("*.smk")))
    assert stages["train_dpo"] == "training" and stages["train_reward"] == "rewards"
    assert stages["encode_given_images"] == "training", "a rule made from another"
