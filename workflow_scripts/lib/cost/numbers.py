"""What costs are estimated from: config/costs.yaml, each number with its source, and the counted config/flops.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import read_json
from ..spec.loading import load_document
from ..spec.problems import Problems, unknown
from ..spec.validation import Schemas

COSTS, FLOPS = "costs.yaml", "flops.json"


@dataclass(frozen=True)
class Numbers:
    """Rates, seconds and bytes (`costs`), FLOPs by registry entry (`flops`), and the GPU that is planned for."""

    costs: dict[str, Any]
    flops: dict[str, dict[str, dict[str, int]]]
    gpu: str

    def flops_per_second(self, kind: str, generator: str = "") -> float:
        """What the GPU reaches in sampling, training or judging."""
        rates = self.costs["rates"][kind]
        return rates.get(generator, rates["default"])["share"] * self.peak * 1e12

    @property
    def peak(self) -> float:
        """The GPU's dense bfloat16 peak in TFLOP/s."""
        return self.costs["gpus"][self.gpu]["bf16_tflops"]

    def seconds(self, name: str) -> float:
        """Seconds of a job or an image, by name."""
        return self.costs["seconds"][name]["value"]

    def wait(self, entry: str) -> float:
        """CPU seconds of one thread that the GPU waits for an image under a scorer."""
        return self.costs["waits"].get(entry, {"value": 0})["value"]

    def size(self, name: str) -> float:
        """Bytes of one number, pixel or job, by name."""
        return self.costs["disk"][name]["value"]


def load_numbers(root: Path | str, gpu: str) -> Numbers:
    """The numbers of a folder of configuration. UserError for a mistake in it, and for a GPU that it does not list."""
    root, problems = Path(root), Problems()
    document = load_document(root / COSTS)
    Schemas(root / "schemas").check("costs", document, problems)
    problems.raise_if_any()
    if gpu not in (known := document.data["gpus"]):
        raise UserError(f"unknown GPU {unknown(gpu, known)} Others are added under gpus in {document.path}")
    return Numbers(document.data, read_json(root / FLOPS), gpu)
