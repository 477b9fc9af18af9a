"""scheduler: decides which task runs when, and is the only one that writes the taskdb."""
