"""The devices that batches can run on: one pair of files for each."""
