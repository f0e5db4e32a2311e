"""Has a bucket tell a topic of new objects, while the stack is deployed."""
