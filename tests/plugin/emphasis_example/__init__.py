"""An example of what an installed package adds to Emphasis."""
