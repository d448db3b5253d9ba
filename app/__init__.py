"""What the operator starts: the command line and the Textual app."""
