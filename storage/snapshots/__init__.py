"""Snapshots in the store: written in parts, described by a manifest, read by queries."""
