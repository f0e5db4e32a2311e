"""The shop's CDK stacks: one module a stack, settings in one place, shared parts in `constructs`."""
