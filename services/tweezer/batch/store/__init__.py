"""Statements on the batch service's tables, as functions of a connection."""
