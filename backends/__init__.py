"""All work, no screen: engine, harness, agents, observer, proxy, sandboxes, practice."""
