"""Training: its examples, losses and advantages as pure functions, the loops around them, and their states."""
