"""Writes siglip/: a small SentencePiece model, and what transformers' SiglipTokenizer makes of texts.

    python make_siglip.py

Needs transformers 5.24, sentencepiece and protobuf; no torch.
"""

import io
import json
import random
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from transformers import SiglipTokenizer

HERE = Path(__file__).parent
FOLDER = HERE / "siglip"
# SentencePiece takes the longest rule at each place.
RULES = {
    "▁": " ", "\u3000": " ", "\t": " ", "\u200b": "", "\x01": "", "ﬁ": "fi", "Ａ": "A", "™": "TM", "①": "1", "½": "1/2",
    "＜": "<", "＞": ">", "／": "/", "e\u0301": "é", "e\u0301\u0302": "ế", "\u1100": "\u3131",
    "\u1100\u1161": "\uac00", "\u1100\u1161\u11a8": "\uac01", "¨": " \u0308",
}  # fmt: skip
MORE = [
    "! hello", "hello  world ", "</s>", "a </s> b", "a </s>", "x</s>Hello", "</s>b",
    "a</s></s>", "＜pad＞ x", "＜/s＞", "<unk>a",
    "e\u0301\u0302 \u1100\u1161\u11a8 \u1100\u1161 \u1100", "ΟΔΟΣ ΣΑΣ Σ", "▁▁a ▁b",
    "\u001c a \u001f b", "¨ a¨", "\u200b a \u200b", "a\u200b b", "x" * 200, "ﬁ\u0301ﬁ",
]  # fmt: skip


def train():
    texts = json.loads((HERE / "texts.json").read_text())["texts"]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        codes = lambda text: " ".join(f"{ord(letter):x}" for letter in text)  # noqa: E731
        rules.write("".join(f"{codes(source)}\t{codes(target)}\n" for source, target in RULES.items()))
        rules.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([text.lower() for text in texts if text.strip()] * 3),
            model_writer=model, vocab_size=170, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>",
            normalization_rule_tsv=rules.name, character_coverage=0.98, num_threads=1,
        )  # fmt: skip
    made = ModelProto.FromString(model.getvalue())
    made.normalizer_spec.ClearField("normalization_rule_tsv")  # the name of the file
    return made.SerializeToString()


def made():
    letters = list("abcde sthx.,<>/▁") + list(RULES) + ["é", "\u0301", "\u0302", "日", "Σ", "İ", " ", "</s>", "\n"]
    numbers = random.Random(7)
    return ["".join(numbers.choices(letters, k=numbers.randint(1, 24))) for _ in range(300)]


def main():
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "spiece.model").write_bytes(train())
    config = {
        "clean_up_tokenization_spaces": True, "do_lower_case": True, "eos_token": "</s>",
        "model_input_names": ["input_ids"], "model_max_length": 64, "pad_token": "</s>",
        "tokenizer_class": "SiglipTokenizer", "unk_token": "<unk>",
    }  # fmt: skip
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    tokenizer = SiglipTokenizer.from_pretrained(FOLDER)
    texts = json.loads((HERE / "texts.json").read_text())["texts"]
    # Several ways to split a run of one letter have the same score.
    texts = [text for text in texts if text != "a" * 130] + MORE + made()
    ids = [tokenizer(text)["input_ids"] for text in texts]
    pairs = [tokenizer(texts[0], texts[i])["input_ids"] for i in range(0, len(texts), 20)]
    short = [tokenizer(text, truncation=True, max_length=4)["input_ids"] for text in texts[:40]]
    answers = {"texts": texts, "ids": ids, "pairs": pairs, "cut_to_4": short}
    (FOLDER / "answers.json").write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
