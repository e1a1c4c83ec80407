"""Figures and image sheets: what is drawn, read back from the figure and its files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.bootstrap import interval
from workflow_scripts.lib.metrics.record import write_metrics
from workflow_scripts.lib.metrics.selection import spread
from workflow_scripts.lib.results import sheets
from workflow_scripts.lib.results.plotting import save
from workflow_scripts.lib.results.ranks import Panel, draw_ranks
from workflow_scripts.lib.shards import ImageRecord, ShardWriter, key_of, write_part
from workflow_scripts.lib.spec import load_config

RANDOM = np.random.default_rng(0)


def panel(title: str = "ImageReward", lines: int = 2) -> Panel:
    values = np.linspace(1, 0, 10)
    named = {f"line {i}": i / 10 for i in range(lines)}
    return Panel(title, "higher", values, values - 0.1, values + 0.1, -0.5, named)


def test_a_panel_shows_values_band_lines_and_correlation():
    ax = draw_ranks([panel()]).axes[0]
    assert ax.get_title() == "ImageReward ↑\nρ = −0.50"
    curve, *lines = ax.get_lines()
    assert curve.get_xdata().tolist() == list(range(1, 11)) and curve.get_ydata()[0] == 1
    assert ax.get_xlim()[0] > ax.get_xlim()[1], "the highest reward stands on the right"
    assert [line.get_label() for line in lines] == ["line 0", "line 1"]
    assert len({line.get_color() for line in (curve, *lines)}) == 3
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(1.1) and band[:, 1].min() == pytest.approx(-0.1)


def test_no_line_is_lost_and_no_empty_panel_left():
    figure = draw_ranks([panel(lines=6)] + [panel(str(i)) for i in range(4)])
    assert len(figure.axes) == 5
    assert len(figure.axes[0].get_lines()) == 7


def test_files_have_editable_text_and_enough_pixels(tmp_path):
    figure = draw_ranks([panel(), panel("HPS")])
    save(figure, [tmp_path / "a.pdf", tmp_path / "a.png"])
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/Type3" not in pdf and b"/FontFile2" in pdf
    assert Image.open(tmp_path / "a.png").size == tuple((figure.get_size_inches() * 200).astype(int))
    save(draw_ranks([panel(), panel("HPS")]), [tmp_path / "b.pdf"])
    assert (tmp_path / "b.pdf").read_bytes() == pdf, "the same numbers make the same file"


def test_command_plots_the_figure_of_the_configuration(tmp_path):
    from workflow_scripts.plot_ranks import main as plot_ranks

    config, paths = load_config(), []
    columns = config.table_columns("ganrm_fig2", "tiny")
    for policy, _, selection in config.table_measurements("ganrm_fig2", "tiny"):
        resampled = pd.DataFrame({column.name: RANDOM.normal(1, 0.1, 50) for column in columns})
        metrics = {name: interval(1, resampled[name])._asdict() | {"n": 64} for name in resampled}
        paths.append(tmp_path / policy / f"{selection}.json")
        write_metrics(paths[-1], policy, selection, num_prompts=64, metrics=metrics, columns=resampled)
    out = tmp_path / "fig2.png"
    plot_ranks(["--figure", "ganrm_fig2", "--scale", "tiny", "--metrics", *map(str, paths), "--out", str(out)])
    assert Image.open(out).size[0] > 1000
    with pytest.raises(UserError, match="no metrics file of sd15/ganrm.rank1of10"):
        plot_ranks(["--figure", "ganrm_fig2", "--scale", "tiny", "--metrics", str(paths[-2]), "--out", str(out)])


def test_small_images_are_enlarged_by_whole_factors_without_smoothing():
    image = RANDOM.integers(0, 256, (3, 2, 3), np.uint8)
    fitted = sheets.fit(image, 10)
    assert fitted.shape == (9, 6, 3)
    np.testing.assert_array_equal(fitted[::3, ::3], image)
    np.testing.assert_array_equal(fitted[2::3, 2::3], image)
    assert sheets.fit(RANDOM.integers(0, 256, (40, 30, 3), np.uint8), 20).shape == (20, 15, 3)
    assert sheets.fit(image, 10, blur=8).std(axis=(0, 1)).max() < fitted.std(axis=(0, 1)).min() / 2


def test_prompts_are_spread_by_a_fixed_rule():
    assert spread([5, 1, 1, 9, 3, 7, 11], 3) == [1, 5, 9]
    assert spread([2, 1], 2) == [1, 2]
    with pytest.raises(UserError, match="3 prompts asked for, the collection has 2"):
        spread([1, 2, 2], 3)


def collection(folder: Path, images: np.ndarray, text: str = "prompt") -> Path:
    """A part with images (P, K, H, W, 3) of prompts that begin with `text`."""
    folder.mkdir(exist_ok=True)
    with ShardWriter(folder, "part0.0", "f") as writer:
        for p, k in np.ndindex(images.shape[:2]):
            writer.add(ImageRecord(key_of(p, k), images[p, k], p, k, f"{text} number {p}", 0))
        entry = writer.commit()
    write_part(folder / "part0.json", [entry], "f")
    return folder / "part0.json"


def test_a_prompt_is_no_formula(tmp_path):
    prompts = ["$\\frac{$ and \\$ 5 to $10", "<b>`x`</b>|\0 $(touch sprung)"]
    column = sheets.SheetColumn("a", prompts, RANDOM.integers(0, 256, (2, 8, 8, 3), np.uint8))
    save(sheets.draw_sheet({"base": [column]}), [tmp_path / "a.png", tmp_path / "a.pdf"])
    assert Image.open(tmp_path / "a.png").size[0] > 100


def test_command_puts_the_selected_images_pixel_for_pixel_into_the_sheet(tmp_path):
    from workflow_scripts.make_sheet import main as make_sheet

    images = RANDOM.integers(0, 256, (4, 3, 32, 32, 3), np.uint8)
    part = collection(tmp_path, images)
    rewards = pd.DataFrame([(key_of(p, k), p, k, k == p % 3) for p in range(4) for k in range(3)])
    rewards.columns = ["key", "prompt_id", "k", "reward"]
    rewards.astype({"reward": float}).to_parquet(tmp_path / "rewards.parquet")
    out = tmp_path / "sheet.png"
    rewards = str(tmp_path / "rewards.parquet")
    first = ["--column", "SD1.5", "2", "Base", "first", "-", str(part)]
    best = ["--column", "SD1.5", "2", "RM@3", "ganrm.best3", rewards, str(part)]
    below = ["--column", "SDXL", "4", "Base", "first", "-", str(part)]
    make_sheet([*first, *best, *below, "--out", str(out), str(out.with_suffix(".pdf")), "--cell", "64"])
    sheet = np.asarray(Image.open(out).convert("RGB"))
    step = 64 + sheets.GAP
    for row, prompt in enumerate((0, 2)):
        for column, k in enumerate((0, prompt % 3)):
            top, left = sheets.TITLES + row * step, sheets.LABEL + column * step
            shown = sheet[top : top + 64, left : left + 64]
            np.testing.assert_array_equal(shown, sheets.fit(images[prompt, k], 64))
    top = 2 * sheets.TITLES + 2 * step + 3 * step
    np.testing.assert_array_equal(
        sheet[top : top + 64, sheets.LABEL : sheets.LABEL + 64], sheets.fit(images[3, 0], 64), "the second block"
    )
    with pytest.raises(UserError, match="5 prompts asked for, the collection has 4"):
        make_sheet(["--column", "SD1.5", "5", *first[3:], "--out", str(out)])
    with pytest.raises(UserError, match="needs a table with the column 'reward'"):
        make_sheet([*best[:5], "-", str(part), "--out", str(out)])


def test_collections_of_other_prompts_do_not_share_a_sheet(tmp_path):
    from workflow_scripts.make_sheet import main as make_sheet

    images = np.zeros((2, 1, 8, 8, 3), np.uint8)
    ours, other = collection(tmp_path / "a", images), collection(tmp_path / "b", images, "photo")
    block = ("--column", "SD1.5", "2")
    columns = [*block, "Base", "first", "-", str(ours), *block, "DPO", "first", "-", str(other)]
    with pytest.raises(UserError, match="'DPO' shows 'photo number 0' where 'Base' shows 'prompt number 0'"):
        make_sheet([*columns, "--out", str(tmp_path / "sheet.png")])


def test_long_prompts_are_cut_to_the_height_of_a_row():
    columns = [sheets.SheetColumn("a", ["a very long prompt " * 40], [np.zeros((4, 4, 3), np.uint8)])]
    figure = sheets.draw_sheet({"SD1.5": columns}, cell=64)
    label = next(text.get_text() for text in figure.texts if text.get_text().startswith("a very"))
    assert label.endswith("…") and len(label.splitlines()) <= 3
