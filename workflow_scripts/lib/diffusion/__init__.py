"""Generators: loading a policy, sampling from it and rolling it out."""
