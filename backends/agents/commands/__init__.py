"""Agents that are programs of their own: what each needs is declared as data, and one `CommandAgent` runs them all."""
