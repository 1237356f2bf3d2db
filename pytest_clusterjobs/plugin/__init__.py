"""Everything that depends on pytest: hook implementations, options, items, and how a session runs them."""
