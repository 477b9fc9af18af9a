"""Schema changes of the blobdb, oldest first."""
