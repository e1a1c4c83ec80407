"""The configuration: what is trained, sampled and reported, at which scale, and where every number comes from.

`load_config()` is the way in (config.py). Pure Python, PyYAML and jsonschema: nothing here imports torch, pandas or
snakemake.
"""

from .config import Config, load_config
from .curves import Curves
from .grids import ImageGrid
from .policies import Policy, parse_policy
from .studies import Study, WinRates
from .tables import Diagram, RankFigure

__all__ = [
    "Config",
    "Curves",
    "Diagram",
    "ImageGrid",
    "Policy",
    "RankFigure",
    "Study",
    "WinRates",
    "load_config",
    "parse_policy",
]
