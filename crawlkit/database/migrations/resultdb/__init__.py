"""The resultdb."""
