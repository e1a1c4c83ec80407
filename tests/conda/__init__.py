"""Conda environments without a network: a channel made of what is installed, and a stand-in for the command `conda`."""
