"""The headless-browser proxy: takes jobs over HTTP, renders each in a fresh context of Chromium, gives back a page."""
