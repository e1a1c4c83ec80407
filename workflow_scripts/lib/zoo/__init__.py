"""Training the tiny zoo: small models of the true classes, made from nothing but the tiny world.

Each module trains one kind of model and saves an ordinary diffusers or transformers folder. The results are shipped
under resources/zoo; `snakemake tiny_zoo` makes them again.
"""
