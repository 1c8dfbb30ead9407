"""Floor 4: the processes; the only place that wires."""
