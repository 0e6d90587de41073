"""From exchanges and their archives to the store: governed, resumable, never trusting an answer by its status."""
