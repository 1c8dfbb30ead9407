"""Datasets in the API."""
