"""The `tweezer` command."""
