"""What the stacks share: each construct derives what must agree instead of letting its callers repeat it."""
