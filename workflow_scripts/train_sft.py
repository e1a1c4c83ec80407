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
    from workflow_scripts.lib.training.post_training import post_train

    config = load_config()
    with sole_writer(args.out):
        post_train(
            "sft",
            config.pipeline(args.model),
            config.pipelines(),
            args.start,
            args.examples,
            settings_of(args, TrainingSettings),
            args.seed,
            args.out,
            code_of("train_sft"),
        )


if __name__ == "__main__":
    run(main, warm=True)
