"""Floor 2: what the platform can do; every rule once."""
