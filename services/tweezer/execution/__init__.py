"""Runs leased jobs on emulators in worker processes."""
