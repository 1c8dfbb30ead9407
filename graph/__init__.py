"""Floor 3: what GraphQL clients see."""
