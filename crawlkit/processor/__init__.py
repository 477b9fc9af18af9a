"""processor: runs handler scripts in worker processes and sends what came of it."""
