"""Floor 3: background work."""
