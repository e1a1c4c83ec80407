"""Generators: loading a policy, sampling from it, and turning images and prompts into what training needs."""
