"""Training: losses and advantages as pure functions, the loops around them, and the state that lets a loop continue."""
