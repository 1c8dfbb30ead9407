"""Uploads in the API."""
