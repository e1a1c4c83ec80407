"""`code_of` changes with the code behind a verb and with nothing else."""

import subprocess
import sys
import time

import numpy as np
import pytest

from workflow_scripts.lib import provenance
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.provenance import code_of, fingerprint

FILES = {
    "__init__.py": '"""The package."""\n',
    "train.py": "def main():\n    from .lib.loop import run  # late\n    run()\n",
    "plot.py": "import pkg.lib.tables\n",
    "registry.py": 'MODULES = ["pkg.lib.tables"]\n',
    "lib/__init__.py": "",
    "lib/loop.py": '"""Loop."""\nfrom . import losses\nfrom .losses import dpo as f\n\n\n'
    'def run():\n    """Run."""\n    return f(1)\n',
    "lib/losses.py": "def dpo(x):\n    # Eq. 7\n    return x * 2\n",
    "lib/tables.py": "WIDTH = 3\n",
}


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "pkg"
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def edit(package, name, old, new):
    file = package / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("lib/losses.py", "# Eq. 7", "# Eq. 8 of the appendix, written over two lines"),
        ("lib/losses.py", "x * 2", "(\n        x\n        * 2\n    )"),
        ("lib/loop.py", '"""Run."""', '"""Run, but described better."""'),
        ("lib/loop.py", '    """Run."""\n', ""),
        ("lib/loop.py", '"""Loop."""', "# no docstring"),
        ("__init__.py", '"""The package."""', ""),
        ("lib/tables.py", "WIDTH = 3", "WIDTH = 4"),
    ],
)
def test_comments_docstrings_formatting_and_other_modules_do_not_count(package, name, old, new):
    before = code_of("train", package)
    edit(package, name, old, new)
    assert code_of("train", package) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("train.py", "run()", "run( ), run()"),
        ("lib/losses.py", "x * 2", "x * 3"),
        ("lib/losses.py", "x * 2", "2 * x"),
        ("lib/loop.py", "f(1)", "f(1.0)"),
        ("lib/loop.py", "f(1)", "f('1')"),
        ("lib/loop.py", "f(1)", "f(True)"),
        ("lib/__init__.py", "", "import warnings\n"),
        ("__init__.py", '"""The package."""', "HOOK = 1"),
    ],
)
def test_an_edit_of_code_that_is_imported_counts(package, name, old, new):
    before = code_of("train", package)
    edit(package, name, old, new) if old else (package / name).write_text(new)
    assert code_of("train", package) != before


@pytest.mark.parametrize("verb", ["plot", "registry"])
def test_absolute_imports_and_modules_named_by_a_string_count(package, verb):
    before = code_of(verb, package)
    edit(package, "lib/tables.py", "3", "4")
    assert code_of(verb, package) != before


def test_a_module_that_appears_counts(package):
    edit(package, "train.py", "run()", "run()\n    from .lib import extra")
    before = code_of("train", package)
    (package / "lib" / "extra.py").write_text("X = 1\n")
    assert code_of("train", package) != before


def test_modules_are_not_executed(package):
    edit(package, "lib/losses.py", "def dpo", "raise SystemExit\ndef dpo")
    assert len(code_of("train", package)) == 16
    assert "pkg" not in sys.modules


def test_an_unknown_verb_lists_the_known_ones(package):
    with pytest.raises(UserError, match=r"known: plot, registry, train\. Did you mean 'train'\?"):
        code_of("trian", package)


def test_a_syntax_error_names_file_and_line(package):
    edit(package, "lib/losses.py", "return x * 2", "return x *")
    with pytest.raises(UserError, match=r"losses\.py:3: "):
        code_of("train", package)


def test_every_verb_of_the_workflow_has_a_hash_quickly():
    verbs = [file.stem for file in provenance.PACKAGE.glob("*.py") if file.stem != "__init__"]
    start = time.process_time()
    hashes = {verb: code_of(verb) for verb in verbs}
    assert len(set(hashes.values())) == len(verbs)
    assert time.process_time() - start < 5  # generous: tells seconds from the milliseconds it takes


def test_the_hash_is_the_same_in_another_process(package):
    code = "import pathlib, sys; from workflow_scripts.lib.provenance import code_of; "
    code += "print(code_of('train', pathlib.Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == code_of("train", package)


def test_fingerprint_ignores_the_order_of_keys_and_numpy():
    assert fingerprint(a=1, b={"x": [1, 2], "y": None}) == fingerprint(b={"y": None, "x": [np.int64(1), 2]}, a=1)


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": 1.5}, {"b": 1}, {"a": 1, "b": None}, {"a": [1]}])
def test_fingerprint_sees_every_difference(other):
    assert fingerprint(a=1) != fingerprint(**other)


def test_fingerprint_is_stable():
    assert fingerprint(a=1, b="x") == "ecf9e98ec0641e23"
