"""The blobdb."""
