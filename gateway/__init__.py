"""Floor 3: REST dialects, each a GraphQL client. None is served yet."""
