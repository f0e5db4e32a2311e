"""The CDK app of the plain lab's stack: `python -m bench.lab_stack.app`, run by the CDK command line."""

from aws_cdk import App

from bench.lab_stack.deployment import NAME
from bench.lab_stack.stack import LabStack

if __name__ == "__main__":
    app = App()
    LabStack(app, NAME)
    app.synth()
