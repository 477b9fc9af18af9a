"""fetcher: turns a task into a response, and every failure into an answer."""
