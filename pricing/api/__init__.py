"""The HTTP API: endpoints, what they read and answer, what happens around them."""
