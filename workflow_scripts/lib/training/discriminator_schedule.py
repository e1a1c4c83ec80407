"""When a discriminator learns: a fixed number of steps before each generator epoch, or whenever it is deceived."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..options import option

PATIENCE = 100
"""Discriminator epochs in a row after which the schedule `trigger` gives up."""


@dataclass(frozen=True)
class DiscriminatorSchedule:
    """`schedule` ratio: `steps_per_generator_epoch` steps; trigger: a step in place of the generator's update (Eq. 7).

    With the schedule ratio, `replay` 0 makes a rollout for each step, as published; n takes the steps on the rollouts
    of the last n generator epochs, its own the first. Eq. 7 is that of arXiv 2511.20256.
    """

    schedule: str = option(
        "ratio: a fixed number of steps; trigger: whenever generated images have the higher reward",
        choices=("ratio", "trigger"),
    )
    steps_per_generator_epoch: int | None = option(
        "discriminator steps before each generator epoch, with the schedule ratio"
    )
    replay: int = option("0: a rollout for each of these steps; n: they reuse the last n rollouts", 0)

    def __post_init__(self) -> None:
        if (self.schedule == "ratio") != (self.steps_per_generator_epoch is not None):
            raise UserError(
                f"schedule {self.schedule} and steps_per_generator_epoch {self.steps_per_generator_epoch} do not fit; "
                "ratio needs a number of steps, trigger none"
            )

    @property
    def triggered(self) -> bool:
        """Whether rewards decide who learns."""
        return self.schedule == "trigger"

    @property
    def own_epochs(self) -> int:
        """Discriminator epochs, with rollouts of their own, before each generator epoch."""
        return 0 if self.triggered or self.replay else self.steps_per_generator_epoch

    @property
    def replayed_steps(self) -> int:
        """Discriminator steps within a generator epoch."""
        return self.steps_per_generator_epoch if self.replay and not self.triggered else 0

    def is_deceived(self, rewards_of_references: float, rewards_of_generated: float) -> bool:
        """Eq. 7: generated images have the higher mean reward, so the discriminator is to learn."""
        return rewards_of_references < rewards_of_generated
