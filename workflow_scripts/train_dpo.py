"""Train a policy on pairs with Diffusion-DPO, resumable."""

from __future__ import annotations

from collections.abc import Sequence

from workflow_scripts.lib.cli import parser, run
from workflow_scripts.lib.locks import sole_writer
from workflow_scripts.lib.options import settings_of
from workflow_scripts.lib.training.options import add_training_options
from workflow_scripts.lib.training.settings import TrainingSettings


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `train_dpo`."""
    options = parser(__doc__)
    add_training_options(options)
    options.add_argument("--beta", type=float, required=True, help="weight of the divergence from the reference")
    options.add_argument(
        "--reference", choices=["previous", "base"], default="previous", help="what the policy is held to"
    )
    args = options.parse_args(argv)

    from workflow_scripts.lib.provenance import code_of
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.training.objectives import DPO
    from workflow_scripts.lib.training.policy_job import PolicyJob
    from workflow_scripts.lib.training.post_training import post_train

    config = load_config()
    entry, code = config.pipeline(args.model), code_of("train_dpo")
    job = PolicyJob(entry, config.pipelines(), args.start, args.seed, args.out, code)
    with sole_writer(args.out):
        post_train(job, DPO(args.beta, args.reference), args.examples, settings_of(args, TrainingSettings))


if __name__ == "__main__":
    run(main, warm=True)
