"""Curves of training: the right columns of the right runs, averaged as stated, and drawn."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from workflow_scripts import plot_curves
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.results.curves import curve_panels, draw_curves, smooth
from workflow_scripts.lib.spec.curves import read_curves
from workflow_scripts.lib.spec.loading import Document

EPOCHS = 60


def history(rise=1.0, **columns):
    """An epoch of the generator after one of the discriminator, which has no reward."""
    steps = np.arange(EPOCHS)
    reward = np.where(steps % 2, 20 + rise * steps / EPOCHS, np.nan)
    kind = np.where(steps % 2, "generator", "discriminator")
    return pd.DataFrame({"epoch": steps, "kind": kind, "global_step": 2 * steps, "reward/pickscore": reward, **columns})


def figure(panels):
    data = {"kind": "curves", "title": "Fig. 17", "caption": "Made up.", "panels": panels}
    return read_curves("mine", Document("mine.yaml", data, {(): 1}))


def line(policy, column="reward/pickscore", **about):
    return {"row": policy.title(), "policy": policy, "column": column, **about}


def test_smoothing_is_a_running_mean_cut_off_at_the_ends():
    values = np.array([0.0, 3, 6, 0, 3, 9])
    assert smooth(values, 0.5) == pytest.approx([1.5, 3, 3, 3, 4, 6])
    assert smooth(values, 0.1) == pytest.approx(values)


def test_a_panel_takes_its_columns_from_the_epochs_that_have_them():
    told = np.where(np.arange(EPOCHS) % 2, np.nan, 0.5)
    histories = {"a": history(2.0), "b": history(told=told, reference=told + 1)}
    (panel,) = curve_panels(
        figure([{"title": "P", "lines": [line("a"), line("b", "told", references="reference"), line("c")]}]).panels,
        histories,
    )
    first, second = panel.curves
    assert (first.name, len(first.x), first.x[0], first.x[-1]) == ("A", EPOCHS // 2, 2, 2 * (EPOCHS - 1))
    assert first.y[-1] == pytest.approx(20 + 2 * (EPOCHS - 1) / EPOCHS) and first.references is None
    assert (second.x[0], set(second.y), set(second.references)) == (0, {0.5}, {1.5})


def test_one_column_may_be_drawn_against_another():
    panels = [{"title": "P", "x": "reward/pickscore", "x_title": "score", "lines": [line("a", "truth")]}]
    ((curve,), (panel,)) = ((panel := curve_panels(figure(panels).panels, {"a": history(truth=1.0)}))[0].curves, panel)
    assert panel.x_title == "score" and curve.x[0] == pytest.approx(20 + 1 / EPOCHS) and set(curve.y) == {1.0}


def test_a_missing_column_is_named_unless_the_panel_is_optional():
    panel = {"title": "P", "lines": [line("a", "truth/scene_accuracy")]}
    with pytest.raises(UserError, match=r"history of 'a' has no column 'truth/scene_accuracy' \(mine.yaml:1\)"):
        curve_panels(figure([panel]).panels, {"a": history()})
    assert curve_panels(figure([{**panel, "optional": True}]).panels, {"a": history()}) == []
    assert curve_panels(figure([{"title": "P", "lines": [line("b")]}]).panels, {"a": history()}) == []


def test_a_run_has_one_colour_in_all_panels_and_references_are_dashed():
    panels = [
        {"title": "one", "lines": [line("a"), line("b")]},
        {"title": "two", "lines": [line("b", references="epoch")]},
    ]
    drawn = draw_curves(curve_panels(figure(panels).panels, {"a": history(), "b": history()}))
    one, two = drawn.axes
    assert one.get_lines()[2].get_color() == two.get_lines()[0].get_color() != one.get_lines()[0].get_color()
    assert [one.get_linestyle() for one in two.get_lines()] == ["-", "-", "--"]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["A", "B", "its reference images"]


def write_histories(folder: Path, **histories) -> list[str]:
    for name, table in histories.items():
        (folder / f"{name}.r1").mkdir(parents=True)
        table.to_parquet(folder / f"{name}.r1/history.parquet")
        (folder / f"{name}.r1/policy.json").write_text("{}")
    return [str(folder / f"{name}.r1/policy.json") for name in histories]


@pytest.fixture
def in_a_study(tmp_path, monkeypatch):
    """The current folder's configuration has a figure of this test's own."""
    root = shutil.copytree("config", tmp_path / "config")
    lines = "\n".join(
        f"      - {{row: {name}, policy: {name}, column: reward/pickscore}}"
        for name in ("flow_grpo_pickscore", "advgrpo_pickscore")
    )
    text = f"kind: curves\ntitle: Mine\ncaption: Mine.\npanels:\n  - title: PickScore\n    lines:\n{lines}\n"
    (root / "tables/mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)


def test_the_command_line_draws_a_figure(in_a_study, tmp_path):
    policies = write_histories(tmp_path, flow_grpo_pickscore=history(3.0), advgrpo_pickscore=history())
    out = tmp_path / "mine.png"
    plot_curves.main(["--figure", "mine", "--policies", *policies, "--out", str(out), f"{tmp_path}/m.pdf"])
    with Image.open(out) as image:
        assert min(image.size) > 200 and len(image.convert("RGB").getcolors(1 << 20)) > 20
    with pytest.raises(UserError, match=r"cannot read .*history\.parquet.*rm -f"):
        plot_curves.main(["--figure", "mine", "--policies", str(tmp_path / "x/policy.json"), "--out", str(out)])
