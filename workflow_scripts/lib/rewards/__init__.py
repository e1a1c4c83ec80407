"""GAN-RM: the reward prediction layer, its training, scoring and selection, and the frozen encoders under it."""
