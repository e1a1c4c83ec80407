"""docs/security.md, read from the code's syntax: no loader runs what it loads, no shell is fed with more than words."""

import ast
import os
import re
import string
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.lib.files import write_json
from workflow_scripts.lib.shards import ImageRecord, ShardWriter

ROOT = Path(__file__).resolve().parents[2]
CODE = sorted((ROOT / "workflow_scripts").rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]

UNSAFE_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "datasets"}
UNSAFE_CALLS = {
    *("eval", "exec", "__import__", "os.system", "os.popen", "tempfile.mktemp"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "torch.hub.load", "torch.jit.load"),
}
UNSAFE_METHODS = {"read_pickle", "extractall", "extract"}
KEYWORDS = {"weights_only": True, "trust_remote_code": False, "allow_pickle": False, "shell": False}
"""Keywords that may have one value only."""
REQUIRED = {r"torch\.load": "weights_only", r"Auto[A-Z]\w+\.from_pretrained": "trust_remote_code"}
EXCEPTIONS = {("pickles.py", "import pickle")}
"""Q16's published file is a pickle: `read_array` rebuilds an array of floats and calls nothing that the file names."""
WORDS = {"resources.launch"}
"""Fields of shell commands that are several words: `launcher` makes them of a constant and a whole number."""


def findings(tree):
    """What in a module's syntax may run what it reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"import {name}" for name in names if name.partition(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.Call):
            yield from findings_of_call(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"/(var/)?tmp\b", node.value):
            yield f"a fixed place {node.value}"


def findings_of_call(call):
    name = ast.unparse(call.func)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in UNSAFE_CALLS or name.rpartition(".")[2] in UNSAFE_METHODS:
        yield name
    for keyword, allowed in KEYWORDS.items():
        if keyword in keywords and getattr(keywords[keyword], "value", None) is not allowed:
            yield f"{name}({keyword}=…)"
    for pattern, keyword in REQUIRED.items():
        if re.fullmatch(pattern, name) and keyword not in keywords:
            yield f"{name} without {keyword}"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT / "workflow_scripts")))
def test_no_code_runs_what_it_reads(path):
    allowed = {what for file, what in EXCEPTIONS if str(path).endswith(file)}
    assert set(findings(ast.parse(path.read_text(encoding="utf-8")))) == allowed


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=wanted)",
        "torch.hub.load('a/b', 'c')",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "AutoTokenizer.from_pretrained(folder)",
        "AutoModel.from_pretrained(folder, trust_remote_code=True)",
        "CLIPModel.from_pretrained(folder, trust_remote_code=True)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "archive.extractall(folder)",
        "open('/tmp/results')",
        "tempfile.mktemp()",
    ],
)
def test_the_check_finds(code):
    assert list(findings(ast.parse(code)))


# files


def test_files_have_the_permissions_that_the_umask_says_and_nothing_is_left_beside_them(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
        with ShardWriter(tmp_path, "shard", "f00d") as writer:
            writer.add(ImageRecord("000000-00", np.zeros((8, 8, 3), np.uint8), 0, 0, "a frog", 1))
            writer.commit()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("a.json", "shard.tar", "shard.parquet"), 0o640)


# rules


def shell_commands(text):
    """The command of every `shell:` of a file of rules."""
    for block in re.findall(r"^ +shell:\n((?: +\".*\"\n)+)", text, re.MULTILINE):
        yield "".join(map(ast.literal_eval, re.findall(r"\".*\"", block)))


def unquoted(command):
    """Fields that a shell would split or run."""
    parsed = string.Formatter().parse(command)
    return [field for _, field, how, _ in parsed if field is not None and how != "q" and field not in WORDS]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_field_of_a_shell_command_is_quoted(path):
    text = path.read_text(encoding="utf-8")
    commands = list(shell_commands(text))
    assert len(commands) == len(re.findall(r"\bshell\b", re.sub(r"#.*", "", text))), "a command the test cannot read"
    assert [field for command in commands for field in unquoted(command)] == []
    assert not re.findall(r"^ +(?:run|script|notebook|wrapper|template_engine):", text, re.MULTILINE)


def test_the_commands_of_all_rules_are_looked_at():
    assert sum(len(list(shell_commands(path.read_text(encoding="utf-8")))) for path in RULES) >= 30
    assert unquoted("python {params.options} {input:q} --out {output[0]} {resources.launch}") == [
        "params.options",
        "output[0]",
    ]
