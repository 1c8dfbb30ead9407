"""Data sources in the API."""
