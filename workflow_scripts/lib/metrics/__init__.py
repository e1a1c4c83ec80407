"""Metrics: per-image formulas, distances between image sets, and their bootstrap over prompts."""
