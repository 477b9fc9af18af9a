"""Schema changes of the logdb, oldest first."""
