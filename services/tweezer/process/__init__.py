"""How a process of ours is configured, logs, runs and ends."""
