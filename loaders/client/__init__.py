"""The one way to ask an outside service: timeouts, retries, mirrors, checks, and evidence of every answer."""
