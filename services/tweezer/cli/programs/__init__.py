"""Programs of the demo and of `examples/`."""
