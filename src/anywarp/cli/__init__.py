"""The command line: `main.py` decides, and each command has a file of its own."""
