"""Migrations of the database `identity`."""
