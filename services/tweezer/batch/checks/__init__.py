"""Checks of what clients submit: sequences in a process of their own, all else here."""
