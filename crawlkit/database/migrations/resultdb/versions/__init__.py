"""Schema changes of the resultdb, oldest first."""
