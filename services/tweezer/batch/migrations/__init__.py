"""Migrations of the database `batch`."""
