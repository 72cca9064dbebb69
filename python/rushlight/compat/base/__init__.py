"""Parts that models of all kinds have, by the path that they have in sentence-transformers."""
