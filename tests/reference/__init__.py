"""Our scores against those of the published packages, which want libraries of their own (`make test-reference`)."""
