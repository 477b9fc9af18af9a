"""Schema changes of the taskdb, oldest first."""
