"""What a person runs: the local cloud and the operator's commands (`python -m shop`)."""
