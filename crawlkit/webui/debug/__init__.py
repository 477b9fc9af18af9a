"""The debugger: one step of a crawl with a script that need not be saved, and nothing of it stored, sent or counted."""
