"""result: makes results durable before their task is done."""
