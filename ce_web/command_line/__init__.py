"""The command `ce`: the product from a terminal, on the installation's own machine or against a server (docs/command-line.md)."""
