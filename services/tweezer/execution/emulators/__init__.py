"""What a job becomes: one function per device type, run in a worker process."""
