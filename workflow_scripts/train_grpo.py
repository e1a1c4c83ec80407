"""Train a flow-matching policy with GRPO on rewards, a discriminator that learns along, or both; resumable."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import form, parser, run
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.locks import sole_writer
from workflow_scripts.lib.options import add_options_of, settings_of
from workflow_scripts.lib.rewards.discriminator_settings import DiscriminatorSettings
from workflow_scripts.lib.training.discriminator_schedule import DiscriminatorSchedule
from workflow_scripts.lib.training.options import add_policy_options
from workflow_scripts.lib.training.settings import GRPOSettings, OptimiserSettings

LEARNER, REWARD = "discriminator_", "NAME=MODEL:WEIGHT"


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `train_grpo`."""
    args = _parser().parse_args(argv)

    from workflow_scripts.lib.provenance import code_of
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.tables import read_table
    from workflow_scripts.lib.training.online_training import train_online
    from workflow_scripts.lib.training.policy_job import PolicyJob

    config = load_config()
    entry, code = config.pipeline(args.model), code_of("train_grpo")
    job = PolicyJob(entry, config.pipelines(), args.start, args.seed, args.out, code)
    recipe = _judges(args, config)
    with sole_writer(args.out):
        train_online(
            job,
            list(read_table(args.prompts)["prompt"]),
            recipe,
            settings_of(args, GRPOSettings),
            settings_of(args, OptimiserSettings),
            settings_of(args, DiscriminatorSchedule, LEARNER) if recipe.discriminator else None,
            (args.height, args.width),
        )


def _judges(args: argparse.Namespace, config):
    """What judges the rollouts."""
    from workflow_scripts.lib.training.judges import JudgesRecipe

    learner = _discriminator(args)
    return JudgesRecipe(
        rewards={name: config.model_entry(model) for name, model, _ in args.rewards},
        weights={name: weight for name, _, weight in args.rewards},
        watched=[config.model_entry(name) for name in args.watch],
        discriminator=learner and learner | {"model": config.model_entry(learner["model"])},
        references=args.references,
        dtype=args.dtype,
    )


def _discriminator(args: argparse.Namespace) -> dict | None:
    """Options of the discriminator by name, if there is one."""
    if args.discriminator_model is None:
        return None
    given = {name.removeprefix(LEARNER): value for name, value in vars(args).items() if name.startswith(LEARNER)}
    if missing := [name for name in ("kind", "loss", "learning_rate", "schedule") if given[name] is None]:
        options = ", ".join(f"--discriminator-{name.replace('_', '-')}" for name in missing)
        raise UserError(f"--discriminator-model needs {options}, too")
    return given


def _parser() -> argparse.ArgumentParser:
    options = parser(__doc__)
    add = options.add_argument
    add_policy_options(options)
    add("--prompts", type=Path, required=True, help="prompt set (.parquet)")
    add("--references", type=Path, nargs="+", default=[], help="part files of reference images of these prompts")
    rewards = {"type": form(REWARD, str, str, float), "nargs": "+", "default": [], "metavar": REWARD}
    add("--rewards", **rewards, help="scorers in config/models.yaml")
    add("--watch", nargs="+", default=[], metavar="MODEL", help="scorers that are told in the history only")
    add("--height", type=int, required=True, help="pixels")
    add("--width", type=int, required=True, help="pixels")
    add("--dtype", default="float32", help="of rewards and discriminator: float32, bfloat16 or float16")
    add_options_of(options, GRPOSettings)
    add_options_of(options, OptimiserSettings)
    add("--discriminator-model", help="model in config/models.yaml that a discriminator is made of")
    add_options_of(options, DiscriminatorSettings, LEARNER, optional=True)
    add_options_of(options, DiscriminatorSchedule, LEARNER, optional=True)
    return options


if __name__ == "__main__":
    run(main, warm=True)
