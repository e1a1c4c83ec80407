"""The configuration: what is trained, sampled and reported, at which scale, and where every number comes from.

`load_config()` is the way in (config.py). Pure Python, PyYAML and jsonschema: nothing here imports torch, pandas or
snakemake.
"""

from workflow_scripts.lib.spec.config import Config, load_config
from workflow_scripts.lib.spec.policies import Policy, parse_policy

__all__ = ["Config", "Policy", "load_config", "parse_policy"]
