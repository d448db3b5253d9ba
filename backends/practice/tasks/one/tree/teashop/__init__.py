"""The services behind the till."""
