"""message_queue: the doors to the message queues."""
