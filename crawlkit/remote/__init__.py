"""A crawlkit elsewhere, asked by its JSON API: what ``--server URL`` stands for."""
