"""The environment of the published packages, and what is computed in it."""

import json
import subprocess

import numpy as np
import pytest

from workflow_scripts.lib.models import ROOT

PYTHON = ROOT / ".venv-reference" / "bin" / "python"


@pytest.fixture
def published(tmp_path):
    """`published(name, **inputs)`: arrays of a function of `packages.py`, run beside the files in tmp_path.

    Inputs are arrays or lists of texts.
    """
    if not PYTHON.exists():
        pytest.skip("the published packages are not installed; make test-reference")

    def compute(name: str, **inputs) -> dict[str, np.ndarray]:
        texts = {key: value for key, value in inputs.items() if isinstance(value, list)}
        np.savez(tmp_path / "inputs.npz", **{key: value for key, value in inputs.items() if key not in texts})
        (tmp_path / "inputs.json").write_text(json.dumps(texts))
        command = [PYTHON, "-m", "tests.reference.packages", name, tmp_path]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(np.load(tmp_path / "outputs.npz"))

    return compute
