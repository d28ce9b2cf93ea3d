"""The job service: it owns the jobs, the queue, the leases and the results."""
