"""The scripted model: an upstream that speaks the Anthropic Messages protocol and plays a debugger by rule.

What it knows beforehand is general: kinds of concurrency faults, how they look in Python, how each is usually repaired.
`python -m backends.practice.model` serves it; `policy.reply` is the whole of it as a pure function.
"""
