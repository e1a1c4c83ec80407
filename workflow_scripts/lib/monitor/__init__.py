"""What a run is doing, what it still has to do, and what its jobs used: read from its folder, without touching it."""
