"""What is known of Redis, clouds and sessions just now, kept by threads, so that nobody at a terminal waits for it."""
