"""Which sentence answers the question? Ask all-MiniLM-L6-v2: `make demo`."""

from rushlight import Model

SENTENCES = [
    "How do I bake bread without yeast?",
    "A recipe for soda bread that needs no yeast",
    "Yeast is a fungus that ferments sugar",
    "The bakery on the corner opens at six",
    "Resetting a router by the button on its back",
]


def main() -> None:
    """Embed the sentences, and print how similar each is to each."""
    model = Model("all-MiniLM-L6-v2")
    embeddings = model.encode(SENTENCES)
    similarities = model.similarity(embeddings, embeddings)

    print(f"embeddings: shape {embeddings.shape}, {embeddings.dtype}\n")
    print("cosine similarities:")
    for row, sentence in zip(similarities, SENTENCES, strict=True):
        print(" ".join(f"{score:6.3f}" for score in row), f"  {sentence}")

    best = 1 + similarities[0, 1:].argmax()
    print(f"\nclosest to {SENTENCES[0]!r}: {SENTENCES[best]!r}")


if __name__ == "__main__":
    main()
