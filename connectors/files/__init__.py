"""Stored files as sources, one module a family of formats: read in bounded memory, unchanged or not at all."""
