"""All that knows pytest: the hooks that it calls, options, items, and how a session runs them."""
