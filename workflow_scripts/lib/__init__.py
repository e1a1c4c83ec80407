"""The nouns of the workflow: files, shards, models, rewards, training, metrics. Imports no CLI and no snakemake."""
