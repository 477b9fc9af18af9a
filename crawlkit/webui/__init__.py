"""webui: the user interface in the browser, and the JSON API behind it. Speaks to the stores and to the scheduler."""
