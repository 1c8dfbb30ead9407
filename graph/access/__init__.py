"""Users, teams, memberships and API tokens in the API."""
