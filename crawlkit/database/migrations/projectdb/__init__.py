"""The projectdb."""
