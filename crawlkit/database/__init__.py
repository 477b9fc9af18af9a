"""database: the doors to the databases."""
