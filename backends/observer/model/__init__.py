"""The observer's second reader: a model that is shown a digest and asked for changes, each of which code checks.

What it says is data, as what tools say is. The rules are in `docs/observations.md`; what they found stands whatever
becomes of the model.
"""
