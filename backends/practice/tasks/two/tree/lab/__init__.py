"""The print service of the members' darkroom."""
