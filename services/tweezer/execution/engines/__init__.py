"""Engines run tasks in other processes, and can stop them one by one."""
