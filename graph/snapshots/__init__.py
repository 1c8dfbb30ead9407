"""Snapshots, their tables and rows in the API."""
