"""torchvision is importable on a CPU-only torch, and untouched elsewhere."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from workflow_scripts.lib import torchvision_compat

REAL = """
import sys, workflow_scripts
assert "torch" not in sys.modules, "the package must not import torch"
assert type(sys.meta_path[0]).__name__ == "TorchvisionHook"
import importlib.util
assert importlib.util.find_spec("torchvision") is not None
assert "torch" not in sys.modules, "asking whether torchvision is there must not import torch"
import torch, torchvision
from torchvision.transforms import v2
from torchvision.ops import roi_align
assert v2.functional.resize(torch.zeros(1, 3, 8, 8), [4, 4]).shape == (1, 3, 4, 4)
workflow_scripts.lib.torchvision_compat.install()
assert sum(type(finder).__name__ == "TorchvisionHook" for finder in sys.meta_path) == 1
print("works")
"""


def test_torchvision_works():
    done = subprocess.run([sys.executable, "-c", REAL], capture_output=True, text=True, check=False)
    assert done.stdout == "works\n", done.stderr


class FakeTorch(SimpleNamespace):
    """As much of torch as the hook looks at, with a record of what it declares."""

    def __init__(self, cuda=None, hip=None, loads=False):
        def load_library(path):
            if not loads:
                raise OSError("libcudart.so.13: cannot open shared object file")

        self.declared = []
        library = SimpleNamespace(define=lambda name, schema: self.declared.append(name))
        ops = SimpleNamespace(torchvision=SimpleNamespace(), load_library=load_library)
        super().__init__(version=SimpleNamespace(cuda=cuda, hip=hip), library=library, ops=ops)


@pytest.mark.parametrize(
    ("torch", "declared"),
    [
        (FakeTorch(), ["torchvision::nms", "torchvision::qnms"]),
        (FakeTorch(cuda="13.0"), []),
        (FakeTorch(hip="6.4"), []),
        (FakeTorch(loads=True), []),
    ],
    ids=["cpu", "cuda", "rocm", "extension loads"],
)
def test_operators_are_declared_only_where_they_are_missing(monkeypatch, tmp_path, torch, declared):
    (tmp_path / "_C.so").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", torch)
    torchvision_compat.declare_missing_operators(tmp_path)
    assert torch.declared == declared


def test_operators_that_exist_are_left_alone(monkeypatch, tmp_path):
    torch = FakeTorch()
    torch.ops.torchvision.nms = object()
    monkeypatch.setitem(sys.modules, "torch", torch)
    torchvision_compat.declare_missing_operators(tmp_path)
    assert torch.declared == ["torchvision::qnms"]


def test_other_modules_are_not_the_hooks_business():
    hook = torchvision_compat.TorchvisionHook()
    assert hook.find_spec("torch") is None
    assert hook.find_spec("torchvision.ops", ["/x"]) is None
