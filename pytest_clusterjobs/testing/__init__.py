"""The proof kit: a conformance suite for backends, and a scripted backend with a hand-turned clock."""
