"""The taskdb."""
