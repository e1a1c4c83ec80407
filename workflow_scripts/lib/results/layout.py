"""What a table or a figure shows at a scale, from the configuration."""

from ..spec import Config
from .tables import ScaledTable


def scaled_table(config: Config, name: str, scale: str) -> ScaledTable:
    """A table or figure with its rows, columns and column titles at a scale; UserError for unknown names."""
    metrics = config.scale(scale).metrics
    sheet = config.figure(name) if name in config.figures else config.table(name)
    columns = config.table_columns(name, scale)
    titles = {column.name: metrics[column.name]["title"] for column in columns}
    return ScaledTable(sheet, config.scale(scale).name, config.table_rows(name, scale), columns, titles)
