"""What runs in the environment of the peers: it imports torch and nothing of this package."""
