"""Small shards with known images, for the tests of shards."""

import numpy as np

from workflow_scripts.lib.shards import ImageRecord, ShardWriter, key_of, write_part

FINGERPRINT = "f00d"


def image_of(prompt_id, k, size=(12, 20)):
    return np.random.default_rng([prompt_id, k]).integers(0, 256, (*size, 3), dtype=np.uint8)


def record_of(prompt_id, k):
    return ImageRecord(key_of(prompt_id, k), image_of(prompt_id, k), prompt_id, k, f"prompt «{prompt_id}»", 2**62 + k)


def write_shard(folder, name, prompt_ids, latents=None, ks=2):
    with ShardWriter(folder, name, FINGERPRINT) as writer:
        for prompt_id in prompt_ids:
            for k in range(ks):
                writer.add(record_of(prompt_id, k), None if latents is None else latents(prompt_id, k))
        return writer.commit()


def write_example_part(folder):
    """Prompts 0 and 1 in one shard, prompt 2 in another, two images each."""
    shards = [write_shard(folder, "part0.0000", [0, 1]), write_shard(folder, "part0.0001", [2])]
    write_part(folder / "part0.json", shards, FINGERPRINT, policy="sd15", round=3)
    return folder / "part0.json"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}
