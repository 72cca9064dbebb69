"""Small tokenizers, trained on the project's licence and the texts of the cases.

Training is not deterministic, so trained tokenizers are kept in `vocabularies/`; one that is not there is trained.
"""

import functools
from pathlib import Path

import transformers
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram, WordPiece

from .texts import TEXTS

SIZE = 420
KEPT = Path(__file__).parent / "vocabularies"
LICENSE = Path(__file__).parents[2] / "LICENSE"

# Special tokens in the order of their ids.
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MODERN = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
T5 = ["<pad>", "</s>", "<unk>"]

# The names by which tokenizer_config.json has them.
BERT_NAMES = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
ROBERTA_NAMES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
T5_NAMES = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def corpus():
    lines = [line.strip() for line in LICENSE.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line] + 3 * TEXTS


def surround(tokenizer, single, pair):
    """Put special tokens around a text and a pair of texts."""
    tokens = {word.split(":")[0] for word in f"{single} {pair}".split() if not word.startswith("$")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(token, tokenizer.token_to_id(token)) for token in sorted(tokens)]
    )


def wordpiece(special, *, lowercase=True):
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=SIZE, special_tokens=special))
    return tokenizer


def byte_level(special):
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=SIZE, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def unigram(special):
    tokenizer = Tokenizer(Unigram())
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=SIZE, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def words(*, lowercase=True):
    tokenizer = wordpiece(BERT, lowercase=lowercase)
    surround(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    return tokenizer


def mpnet():
    tokenizer = wordpiece([*ROBERTA, "[UNK]"])
    surround(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>")
    return tokenizer


def roberta():
    tokenizer = byte_level(ROBERTA)
    sep, cls = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=False)
    return tokenizer


def modern():
    tokenizer = byte_level(MODERN)
    tokenizer.normalizer = normalizers.NFC()
    surround(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]")
    return tokenizer


def pieces():
    tokenizer = unigram(ROBERTA)
    surround(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>")
    return tokenizer


def t5():
    tokenizer = unigram(T5)
    surround(tokenizer, "$A </s>", "$A </s> $B </s>")
    return tokenizer


# By name: how a tokenizer is trained, and the names of its special tokens.
KINDS = {
    "words": (words, BERT_NAMES),
    "cased": (functools.partial(words, lowercase=False), BERT_NAMES),
    "mpnet": (mpnet, {**ROBERTA_NAMES, "unk_token": "[UNK]"}),
    "roberta": (roberta, ROBERTA_NAMES),
    "modern": (modern, BERT_NAMES),
    "pieces": (pieces, ROBERTA_NAMES),
    "t5": (t5, T5_NAMES),
}


def bare(name):
    """A tokenizer of the library `tokenizers`."""
    file = KEPT / f"{name}.json"
    if not file.exists():
        KINDS[name][0]().save(str(file), pretty=False)
    tokenizer = Tokenizer.from_file(str(file))
    assert tokenizer.get_vocab_size() == SIZE, (name, tokenizer.get_vocab_size())
    return tokenizer


def vocabulary(name):
    """A new tokenizer of transformers, which whoever asked may change."""
    if name == "typed":  # built by its class from a vocabulary, as most models of the hub are
        return transformers.BertTokenizer(vocab=bare("words").get_vocab())
    if name == "colbert":  # ColBERT's markers are single tokens
        tokenizer = vocabulary("words")
        markers = ["[unused0]", "[unused1]", "[Q] ", "[D] "]
        tokenizer.add_special_tokens({"additional_special_tokens": markers})
        return tokenizer
    return transformers.PreTrainedTokenizerFast(tokenizer_object=bare(name), **KINDS[name][1])
