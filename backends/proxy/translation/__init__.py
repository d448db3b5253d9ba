"""Routes: a model's name answered by another model, of the same provider or of any that LiteLLM can translate for."""
