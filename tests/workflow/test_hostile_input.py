"""Prompts and a configuration that mean harm to the shell: they arrive as they are, and nothing in them is run."""

from __future__ import annotations

import json

from tests.workflow.study import IMAGES, Study
from workflow_scripts.lib.shards import Part

TRAP = "touch sprung"
HOSTILE = [
    f"a frog'; {TRAP}; '",
    f'a frog"; {TRAP}; "',
    f"a $({TRAP}) frog `{TRAP}`",
    f"a frog && {TRAP} || {TRAP} | {TRAP} > sprung",
    "a frog \0 with a NUL",
    "--out sprung",
    "-",
    "<script>alert(1)</script> </script> | `frog` {params.options} {{ x }}",
    "$\\frac{$ 5 to $10 \\",
    "عصفور \u202e على شجرة \U0001f438",
    "frog " * 300,
    "%s %(x)s ${HOME} ~ * ? [a] !!",
]
FOLDER, FILE = f"it's $({TRAP}); ", f'"`{TRAP}`" a.json'
TITLE = f"""a' "b" $({TRAP}) `{TRAP}`; {TRAP} | <b> {{scale}}\n{TRAP}"""


def make_hostile(study: Study) -> None:
    """A study whose evaluation prompts, their file, a title and a suffix of prompts are traps, and a figure of it."""
    assert len(HOSTILE) == IMAGES
    folder = study.root / "resources/data" / FOLDER
    folder.mkdir(parents=True)
    (folder / FILE).write_text(json.dumps([{"prompt": prompt} for prompt in HOSTILE]))
    source = {"title": TITLE, "kind": "prompts_table", "folder": FOLDER, "annotations": {"eval": FILE}}
    about = {"prompt_field": "prompt", "ordered": True, "license": "none"}
    study.edit("config/config.yaml", lambda settings: settings.update(data_folder="resources/data"))
    study.edit("config/data.yaml", lambda data: data.update(traps=source | about))
    study.edit("config/scales/tiny.yaml", lambda scale: scale["data"].update(eval="traps"))
    suffix = {"value": TITLE, "assumed": "a trap for the shell"}
    study.edit("config/models.yaml", lambda models: models["tiny_sd15"]["sampling"].update(prompt_suffix=suffix))
    columns = [{"row": TITLE, "policy": "sd15"}]
    block = {"base": TITLE, "prompts": "eval", "show": len(HOSTILE), "columns": columns}
    sheet = {"kind": "image_grid", "title": TITLE, "caption": TITLE, "blocks": [block]}
    (study.root / "config/tables/hostile.yaml").write_text(json.dumps(sheet))


def test_hostile_texts_arrive_as_they_are_and_run_nothing(study):
    make_hostile(study)
    study.snakemake("results/tiny/figures/hostile.png")
    part = Part(study.root / "results/tiny/samples/sd15/eval/part0.json")
    assert list(dict.fromkeys(part.index()["prompt"])) == [" ".join(prompt.split()) for prompt in HOSTILE]
    assert not list(study.root.rglob("sprung")), "a command was run"


def test_a_text_that_no_command_line_can_hold_is_refused_before_anything_runs(study):
    make_hostile(study)
    columns = study.root / "config/tables/hostile.yaml"
    columns.write_text(columns.read_text().replace("a' ", "a\\u0000' "))
    done = study.snakemake("results/tiny/figures/hostile.png", check=False)
    assert done.returncode != 0 and "Building DAG" not in done.stdout
    assert "a NUL character, which no command line can hold; remove it (config/tables/hostile.yaml:1)" in done.stdout
    assert not (study.root / "results").exists()
