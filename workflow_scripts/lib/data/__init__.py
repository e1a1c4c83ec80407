"""What comes from outside the models: prompts and images, rendered, from folders, or from public data sets."""
