"""Names of policies and selections, as they stand in paths."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..errors import UserError

NAME = r"[a-z][a-z0-9_]*"
POLICY = rf"{NAME}(?:@[1-9][0-9]*)?(?:\.r[1-9][0-9]*)?"
SELECTION = rf"first|{NAME}\.(?:best[1-9][0-9]*|rank[1-9][0-9]*of[1-9][0-9]*)"
FIRST = "first"

_PARTS = re.compile(rf"(?P<name>{NAME})(?:@(?P<replicate>[1-9][0-9]*))?(?:\.r(?P<round>[1-9][0-9]*))?")


@dataclass(frozen=True)
class Policy:
    """A generator: a model role (`round` None), or a run after a round; with its replicate, which is the only seed."""

    name: str
    replicate: int = 0
    round: int | None = None

    def __str__(self) -> str:
        replicate = f"@{self.replicate}" if self.replicate else ""
        return f"{self.name}{replicate}" + (f".r{self.round}" if self.round else "")

    def previous(self, model: str) -> Policy:
        """The policy that this round of a run starts from; `model` is what round 1 starts from, a role or a round."""
        if self.round is None:
            raise UserError(f"policy '{self}' is a model: nothing precedes it")
        if self.round == 1:
            return replace(parse_policy(model), replicate=self.replicate)
        return Policy(self.name, self.replicate, self.round - 1)


def parse_policy(text: str) -> Policy:
    """`sd15_dpo@1.r3` -> Policy("sd15_dpo", 1, 3); UserError for anything that is no policy."""
    match = _PARTS.fullmatch(text)
    if match is None:
        raise UserError(
            f"'{text}' is not a policy; write a model role (sd15, sd15@1) or a run's round (sd15_dpo.r3, sd15_dpo@1.r3)"
        )
    return Policy(match["name"], int(match["replicate"] or 0), int(match["round"]) if match["round"] else None)


def best_of(reward: str, candidates: int) -> str:
    """Selection of the image with the highest reward among the first K samples of a prompt: `ganrm.best10`."""
    return f"{reward}.best{candidates}"


def rank_of(reward: str, rank: int, candidates: int) -> str:
    """Selection of the image of a rank (1 = highest reward) among the first K of a prompt: `ganrm.rank3of10`."""
    return f"{reward}.rank{rank}of{candidates}"
