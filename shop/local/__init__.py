"""The local cloud: the AWS emulator, the deployment of the stacks into it, and the mailbox.

`cloud` is the interface for everyone else; `tools` sets up what it needs and runs before anything is installed.
"""
