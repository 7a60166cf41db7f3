"""How the starter networks are made: the pictures they learn from, and the training itself."""
