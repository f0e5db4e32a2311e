"""Has the database migrated when the stack is deployed."""
