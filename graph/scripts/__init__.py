"""Scripts in the API."""
