"""Collections of images: shards of losslessly compressed images, listed by parts.

A shard `<name>` holds images, sampled ones those of whole prompts, in

    <name>.tar                    WebP-lossless images as an ordinary tar: the same images make the same bytes;
                                  a clip is one picture, its frames below each other
    <name>.latents.safetensors    their latents, where the sampler gave them: tensor "latents", (N, C, [frames,] h, w)
    <name>.parquet                the index: a row per image with its place in the tar and its checksum

The index is written last: it commits the shard. A part (`part0.json`) lists the shards lying beside it. A killed job
loses the shard it was writing and no other.

    with ShardWriter(folder, "part0.0003", fingerprint) as writer:
        for ...: writer.add(ImageRecord(key_of(prompt_id, k), image, prompt_id, k, prompt, seed), latents)
        entries.append(writer.commit())
    write_part(folder / "part0.json", entries, fingerprint)
    for row, image in Part(folder / "part0.json").images(): ...
"""

from .images import ImageRecord, decode, encode, key_of
from .reading import Collection, Part
from .writing import ShardWriter, committed, write_part

__all__ = ["Collection", "ImageRecord", "Part", "ShardWriter", "committed", "decode", "encode", "key_of", "write_part"]
