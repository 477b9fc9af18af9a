"""Schema changes of the projectdb, oldest first."""
