"""The outside services, one module each: what to ask, and how to read the answer."""
