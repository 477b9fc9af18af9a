"""The files that downloads bring: where they lie, what is known of them, and how they get there whole."""
