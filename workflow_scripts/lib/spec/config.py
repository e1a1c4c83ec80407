"""`load_config()`: the whole configuration, parsed, validated and resolved before any job is planned."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UserError
from .availability import lacking, lacking_policy
from .checks import check_names, check_recipes
from .counts import check_counts
from .curves import Curves, read_curves
from .grids import Block, ImageGrid, read_grid
from .leaves import lift, plain
from .ledger import LedgerRow, rows_of_scale
from .loading import Document, load_document
from .policies import Policy, parse_policy
from .pools import Pool, pools_taken
from .problems import Problems, unknown
from .runs import KINDS, Recipes
from .scales import Scale, read_scale, scale_of
from .studies import Study, WinRates, read_study, read_win_rates
from .tables import Diagram, PlannedRow, RankFigure, Row, Table, read_diagram, read_figure, read_table
from .validation import Schemas, check_file_name

FIGURES = {
    "rank_figure": ("figures", read_figure),
    "image_grid": ("grids", read_grid),
    "diagram": ("diagrams", read_diagram),
    "curves": ("curves", read_curves),
    "win_rates": ("win_rates", read_win_rates),
}
"""Schema and reader of each kind of figure."""
ARCHITECTURE = "architecture"
Figure = RankFigure | ImageGrid | Diagram | Curves | WinRates
F = TypeVar("F", RankFigure, ImageGrid, Diagram, Curves, WinRates)


def found_once(method: Callable) -> Callable:
    """A method of Config that is asked for every job: it remembers what it found, which nobody may change."""

    @functools.wraps(method)
    def find(self: Config, *args: Any) -> Any:
        key = (method.__name__, *args)
        if key not in self._found:
            self._found[key] = method(self, *args)
        return self._found[key]

    return find


@dataclass
class Config:
    """The configuration. A `scale` is a name (`paper`) or a path's `{scale}` wildcard (`tiny/`, empty for paper)."""

    settings: dict[str, Any]
    models: Document
    data: Document
    recipes: dict[str, Recipes]
    scales: dict[str, Scale]
    tables: dict[str, Table]
    figures: dict[str, Figure]
    architectures: dict[str, Document]
    studies: dict[str, Study]
    _found: dict[tuple, Any] = field(default_factory=dict, repr=False)
    _pools: dict[str, dict[Pool, int]] = field(default_factory=dict, repr=False)

    def scale(self, scale: str) -> Scale:
        """The scale of that name or path prefix."""
        return _lookup("unknown scale", self.scales, scale_of(scale))

    def replicates(self, scale: str) -> list[int]:
        """Replicates to run: those of config.yaml, else those of the scale."""
        return self.settings.get("replicates") or self.scale(scale).replicates

    def run(self, name: str, scale: str) -> dict:
        """A run's hyperparameters at a scale, plain and nested: parents, own differences, the scale's overrides."""
        return plain(self.resolved("run", name, scale))

    def reward(self, name: str, scale: str) -> dict:
        """A reward's hyperparameters at a scale, plain and nested."""
        return plain(self.resolved("reward", name, scale))

    def discriminator(self, name: str, scale: str) -> dict:
        """A discriminator's hyperparameters at a scale, plain and nested."""
        return plain(self.resolved("discriminator", name, scale))

    @found_once
    def resolved(self, kind: str, name: str, scale: str) -> dict:
        """A resolved recipe with its leaves; `kind` is reward, discriminator or run."""
        recipes, scale = self.recipes[kind], self.scale(scale).name
        _lookup(f"unknown {kind}", {one: recipes.by_name[one] for one in recipes.concrete()}, name)
        return recipes.resolve(name, self.scales[scale].changes[kind])

    def runs(self, scale: str) -> list[str]:
        """Runs trained at a scale: not abstract, all they need is there, and no model of the scale replaces them."""
        roles, names = self.scale(scale).models, self.recipes["run"].concrete()
        return [name for name in names if name not in roles and not lacking(self, "run", name, scale)]

    def rewards(self, scale: str) -> list[str]:
        """Rewards of a scale: not abstract, and all they need is there."""
        return [name for name in self.recipes["reward"].concrete() if not lacking(self, "reward", name, scale)]

    def discriminators(self, scale: str) -> list[str]:
        """Discriminators that runs of a scale train."""
        named = (self.resolved("run", name, scale).get("discriminator") for name in self.runs(scale))
        return list(dict.fromkeys(name for name in named if name))

    def model(self, role: str, scale: str) -> dict:
        """The registry entry that plays a model role, plain, as `model_entry` gives it."""
        found = self.scale(scale)
        return self.model_entry(_lookup(f"scale '{found.name}' has no model role", found.models, role))

    def model_entry(self, name: str) -> dict:
        """An entry of models.yaml, plain, with its `name` and its parts; one with a `base` has the base's sampling."""
        _lookup("unknown model", self.models.data, name)
        entry = {"name": name, **plain(lift(self.models, name))}
        if "base" in entry and "sampling" not in entry:
            entry["sampling"] = self.model_entry(entry["base"])["sampling"]
        if "parts" in entry:
            entry["parts"] = {part: self.model_entry(one) for part, one in entry["parts"].items()}
        return entry

    def pipelines(self) -> dict[str, dict]:
        """Every generator of models.yaml by name, as `model_entry` gives it."""
        names = [name for name, entry in self.models.data.items() if entry["kind"] == "pipeline"]
        return {name: self.model_entry(name) for name in names}

    def pipeline(self, name: str) -> dict:
        """The generator of that name in models.yaml, as `model_entry` gives it."""
        return _lookup("unknown pipeline", self.pipelines(), name)

    def data_entry(self, name: str) -> dict:
        """An entry of data.yaml, plain, with its `name`."""
        return {"name": name, **copy.deepcopy(_lookup("unknown data set", self.data.data, name))}

    def table(self, name: str) -> Table:
        """A table by name (its file's)."""
        return _lookup("unknown table", self.tables, name)

    def figure(self, name: str) -> Figure:
        """A figure by name (its file's)."""
        return _lookup("unknown figure", self.figures, name)

    def study(self, name: str) -> Study:
        """A user study by name (its file's)."""
        return _lookup("unknown study", self.studies, name)

    def is_model(self, policy_name: str, scale: str) -> bool:
        """Whether a policy's name is a pipeline among the scale's models; that wins over a run of the same name."""
        entry = self.models.data.get(self.scale(scale).models.get(policy_name), {})
        return entry.get("kind") == "pipeline"

    def previous(self, policy: Policy | str, scale: str) -> Policy:
        """The policy that a round of a run starts from."""
        policy = parse_policy(policy) if isinstance(policy, str) else policy
        return policy.previous(self.resolved("run", policy.name, scale)["model"])

    def base_model(self, policy: Policy | str, scale: str) -> str:
        """The model role at the root of a policy: itself, or the one that its run starts from."""
        policy = parse_policy(policy) if isinstance(policy, str) else policy
        if self.is_model(policy.name, scale):
            return policy.name
        return self.base_model(self.resolved("run", policy.name, scale)["model"], scale)

    @found_once
    def sampling(self, policy: Policy | str, scale: str) -> dict:
        """How the model at the root of a policy is sampled, plain."""
        return self.model(self.base_model(policy, scale), scale)["sampling"]

    def table_columns(self, table: str, scale: str) -> list:
        """Columns of a table or figure whose metric the scale knows."""
        metrics = self.scale(scale).metrics
        return [column for column in self._sheet(table).columns if column.name in metrics]

    def table_rows(self, table: str, scale: str, replicate: int = 0) -> list[PlannedRow]:
        """Rows of a table or figure at a scale, with those that the scale does not compute and why."""
        return [self.plan(row, scale, replicate) for row in self._sheet(table).rows]

    def row_prompt_sets(self, table: str, row: PlannedRow, scale: str) -> list[str]:
        """Prompt sets that the metrics of a row of a table or figure are computed on."""
        metrics = self.scale(scale).metrics
        columns = [column for column in self.table_columns(table, scale) if row.row.has(column)]
        return list(dict.fromkeys(metrics[column.name]["prompts"] for column in columns))

    def table_measurements(self, table: str, scale: str, replicate: int = 0) -> list[tuple[str, str, str]]:
        """(policy, prompt set, selection) of all that a table or figure quotes, each once."""
        rows = [row for row in self.table_rows(table, scale, replicate) if not row.skipped]
        found = [(row.policy, one, row.selection) for row in rows for one in self.row_prompt_sets(table, row, scale)]
        return list(dict.fromkeys(found))

    @found_once
    def trains_on(self, prompt_set: str, scale: str) -> bool:
        """Whether a run or a reward takes images of a prompt set; all other sets are for evaluation."""
        runs = {self.resolved("run", name, scale)["prompts"] for name in self.runs(scale)}
        rewards = [self.resolved("reward", name, scale) for name in self.rewards(scale)]
        return prompt_set in runs.union(*({one.get("data"), one.get("negatives"), one.get("pool")} for one in rewards))

    def samples_per_prompt(self, policy: Policy | str, prompt_set: str, scale: str) -> int:
        """Samples per prompt of a collection: the largest K that a run, a table or a figure takes from it."""
        policy = parse_policy(policy) if isinstance(policy, str) else policy
        name = self.scale(scale).name
        if name not in self._pools:
            self._pools[name] = {}
            for pool, candidates in pools_taken(self, name):
                self._pools[name][pool] = max(candidates, self._pools[name].get(pool, 1))
        return self._pools[name].get((str(replace(policy, replicate=0)), prompt_set), 1)

    def figures_of(self, kind: type[F]) -> dict[str, F]:
        """The figures of one class (RankFigure, ImageGrid, …) by name."""
        return {name: figure for name, figure in self.figures.items() if isinstance(figure, kind)}

    def columns_shown(self, block: Block, scale: str) -> list[PlannedRow]:
        """Columns of a block of images that a scale has."""
        return [row for row in (self.plan(one, scale) for one in block.rows) if not row.skipped]

    def ledger(self, scale: str) -> list[LedgerRow]:
        """Every number of a scale with its provenance: counts, sampling of its models, recipes, studies."""
        return list(rows_of_scale(self, self.scale(scale)))

    def _sheet(self, name: str) -> Table | Figure:
        return _lookup("unknown table or figure", {**self.tables, **self.figures}, name)

    def plan(self, row: Row, scale: str, replicate: int = 0) -> PlannedRow:
        """A row at a scale: the policy that it shows, or why the scale does not compute it."""
        policy, name = Policy(row.policy, replicate), self.scale(scale).name
        missing = lacking_policy(self, row.policy, scale)
        if row.reward and not missing:
            missing = lacking(self, "reward", row.reward, scale)
        if missing:
            return PlannedRow(row, str(policy), row.selection, f"scale {name} has no {missing}")
        skipped = ""
        if not self.is_model(row.policy, scale):
            rounds = self.resolved("run", row.policy, scale)["rounds"].value
            policy = Policy(row.policy, replicate, row.round or rounds)
            skipped = f"scale {name} runs {rounds} round{'s' * (rounds > 1)}" if policy.round > rounds else ""
        return PlannedRow(row, str(policy), row.selection, skipped)


def load_config(root: str | Path = "config", settings: dict[str, Any] | None = None) -> Config:
    """Read and check everything under `root`; `settings` (Snakemake's `config`) replaces those of config.yaml.

    UserError with one line per problem, each naming file:line, what is known and the nearest of it.
    """
    root, problems = Path(root), Problems()
    schemas = Schemas(root / "schemas")
    config = _read(root, schemas, settings, problems)
    check_names(config, problems)
    problems.raise_if_any()
    check_recipes(config, schemas, problems)
    problems.raise_if_any()
    check_counts(config, problems)
    problems.raise_if_any()
    return config


def _read(root: Path, schemas: Schemas, settings: dict[str, Any] | None, problems: Problems) -> Config:
    def checked(schema: str, path: Path) -> Document:
        document = load_document(path)
        check_file_name(path, document, problems)
        kind = document.data.get("kind") if schema == "tables" and isinstance(document.data, dict) else None
        named = {ARCHITECTURE: "architectures"} | {figure: schema for figure, (schema, _) in FIGURES.items()}
        schemas.check(named.get(kind, schema), document, problems)
        return document

    own = load_document(root / "config.yaml")
    own = own if settings is None else Document(own.path, settings, own.lines)
    schemas.check("config", own, problems)
    models, data = (checked(name, root / f"{name}.yaml") for name in ("models", "data"))
    runs, sheets, scales, studies = (
        {path.stem: checked(name, path) for path in sorted((root / name).glob("*.yaml"))}
        for name in ("runs", "tables", "scales", "studies")
    )
    problems.raise_if_any()
    recipes = {kind: Recipes(kind) for kind in KINDS}
    for document in runs.values():
        for kind in recipes.values():
            kind.add_all(document, problems)
    for kind in recipes.values():
        kind.link(problems)
    problems.raise_if_any()
    figures = {
        name: FIGURES[sheet.data["kind"]][1](name, sheet)
        for name, sheet in sheets.items()
        if sheet.data["kind"] in FIGURES
    }
    architectures = {name: sheet for name, sheet in sheets.items() if sheet.data["kind"] == ARCHITECTURE}
    tables = {name: read_table(name, sheet) for name, sheet in sheets.items() if name not in figures | architectures}
    return Config(
        own.data,
        models,
        data,
        recipes,
        {name: read_scale(name, document) for name, document in scales.items()},
        tables,
        figures,
        architectures,
        {name: read_study(name, document) for name, document in studies.items()},
    )


def _lookup(said: str, known: dict, name: str) -> Any:
    if name not in known:
        raise UserError(f"{said} {unknown(name, known)}")
    return known[name]
