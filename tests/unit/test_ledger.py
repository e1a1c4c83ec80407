"""The assumption ledger as files: every value of a scale, with where it comes from."""

import pandas as pd

from workflow_scripts.lib.spec import load_config
from workflow_scripts.write_ledger import main as write_ledger


def test_the_ledger_lists_every_value_with_its_provenance(tmp_path, capsys):
    out = [tmp_path / "ledger.csv", tmp_path / "ledger.md"]
    write_ledger(["--scale", "paper", "--out", *map(str, out)])
    table = pd.read_csv(out[0], keep_default_na=False)
    assert len(table) == len(load_config().ledger("paper"))
    beta = table[(table["of"] == "run sd15_dpo") & (table["key"] == "training.beta")].iloc[0]
    assert (beta["value"], beta["kind"]) == ("5000", "assumed") and "DiffusionDPO" in beta["reason"]
    assert set(table["kind"]) <= {"quoted", "assumed", "scale"} and (table["reason"].str.len() > 3).all()
    assert f"{len(table)} values" in out[1].read_text()
    write_ledger(["--scale", "tiny"])
    assert "| run sd15_dpo | training.beta |" in capsys.readouterr().out
