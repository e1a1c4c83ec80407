"""Fine-tune a policy on the selected images (SFT), resumable."""

from __future__ import annotations

from collections.abc import Sequence

from workflow_scripts.lib.cli import parser, run
from workflow_scripts.lib.locks import sole_writer
from workflow_scripts.lib.options import settings_of
from workflow_scripts.lib.training.options import add_training_options
from workflow_scripts.lib.training.settings import TrainingSettings


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `train_sft`."""
    options = parser(__doc__)
    add_training_options(options)
    args = options.parse_args(argv)

    from workflow_scripts.lib.provenance import code_of
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.training.objectives import SFT
    from workflow_scripts.lib.training.policy_job import PolicyJob
    from workflow_scripts.lib.training.post_training import post_train

    config = load_config()
    entry, code = config.pipeline(args.model), code_of("train_sft")
    job = PolicyJob(entry, config.pipelines(), args.start, args.seed, args.out, code)
    with sole_writer(args.out):
        post_train(job, SFT(), args.examples, settings_of(args, TrainingSettings))


if __name__ == "__main__":
    run(main, warm=True)
