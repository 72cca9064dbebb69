"""Measures rushlight beside other ways to get the same embeddings; see benches/README.md."""
