"""The logdb."""
