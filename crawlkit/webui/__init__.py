"""webui: the user interface."""
