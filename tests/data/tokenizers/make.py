"""Writes the cases of src/tokenize/tests.rs: what transformers makes of small tokenizer folders.

    python make.py FOLDER

FOLDER holds small reference models, each as NAME/model/tokenizer.json. Needs transformers 5.23; no torch.

texts.json holds the texts, base/NAME.json a tokenizer.json, cases/NAME.json one case: which base, which top-level
keys of it are replaced, the folder's other files, and what transformers answered.
"""

import base64
import json
import struct
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Lowercase, Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import BertPreTokenizer, Split
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer

HERE = Path(__file__).parent
TEXTS = [
    "The weather is lovely today.",
    "",
    " ",
    "\t\n",
    "!?",
    "  leading and trailing spaces   ",
    "UPPER CASE text and MiXeD CaSe",
    "naïve café résumé Ångström façade ÉCOLE",
    "e\u0301 vs é, ﬁ vs fi, Å, Ａ™ ①",
    "zero\u200bwidth and non\xa0breaking\u2009spaces\x00 \x01\x02 \ufffd",
    "emoji 😀👩\u200d👩\u200d👧🇪🇺 in text",
    "日本語の文章です。北京是中国的首都",
    "Привет, как дела? İstanbul ẞ ǅ ﬀ Σίσυφος",
    "مرحبا हिन्दी ภาษาไทย 한국어",
    "https://example.org/a?b=c&d=%20#frag user@host.tld x**2 1,234.56 €99 ½",
    "[CLS] [SEP] [PAD] [UNK] [MASK] x[MASK]y  [MASK]  z [mask] [Mask]",
    "<s> </s> <pad> <unk> <mask> x<mask>y  <mask>  z <MASK> <s>NOTUSED <unk>NOTUSED",
    "new-token NEW-TOKEN anew-tokens [unused0] <extra>",
    "a" * 130,
    "don't can't I'm you're they've it's o'clock",
    "one\ntwo\r\nthree\n\nfour",
    "The quick brown fox jumps over the lazy dog. " * 2,
]
PAIRS = [(0, 6), (21, 0), (0, 21), (21, 21), (1, 0), (0, 1), (1, 1)]
PROMPTS = ["query: ", "Represent this sentence: [SEP]", "pré"]
LENGTHS = [2, 3, 8]
PAIR_LENGTHS = [4, 5, 12, 13]


def charsmap(rules):
    """A SentencePiece charsmap: u32 size of the trie, its double array, then the replacements, each ended by NUL."""
    texts, root = b"", {}
    for source, target in rules.items():
        node = root
        for byte in source.encode():
            node = node.setdefault(byte, {})
        node[0] = len(texts)
        texts += target.encode() + b"\0"
    units, free = [0] * 4096, [False] + [True] * 4095

    def place(node, position):
        labels = list(node)
        base = next(b for b in range(1, 3840) if all(free[b ^ label] for label in labels))
        units[position] |= ((position ^ base) << 10) | (0 in node) << 8
        for label in labels:
            free[base ^ label] = False
        for label in labels:
            units[base ^ label] = 1 << 31 | node[0] if label == 0 else label
            if label:
                place(node[label], base ^ label)

    place(root, 0)
    size = max(i for i, unit in enumerate(units) if unit) // 256 * 256 + 256
    blob = struct.pack("<I", 4 * size) + struct.pack(f"<{size}I", *units[:size]) + texts
    return base64.b64encode(blob).decode()


CHARSMAP = {
    "type": "Precompiled",
    "precompiled_charsmap": charsmap(
        {"ﬁ": "fi", "Ａ": "A", "™": "TM", "①": "1", "\t": " ", "\n": " ", "\x01": "", "e\u0301": "é"}
    ),
}
BASES = {
    "bert": "bert-cased-max",
    "uncased": "bert-mean-normalize",
    "mpnet": "mpnet-mean-normalize",
    "roberta": "roberta-mean-normalize",
    "unigram": "xlm-roberta-mean",
    "t5": "t5-gated-mean",
}
PADDING = {
    "strategy": {"Fixed": 16},
    "direction": "Left",
    "pad_to_multiple_of": 8,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "[PAD]",
}
TRUNCATION = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}


def token(content, **flags):
    usual = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"content": content, **usual, **flags}


def listed(*tokens):
    return [{"id": i, **t} for i, t in tokens]


def around(first, last):
    """A post-processor with `first` before each text, and `last` after it."""
    text = [{"SpecialToken": {"id": first[1], "type_id": 0}}] if first else []
    ends = [{"SpecialToken": {"id": last[1], "type_id": 0}}] if last else []
    single = [*text, {"Sequence": {"id": "A", "type_id": 0}}, *ends]
    pair = [*single, *text, {"Sequence": {"id": "B", "type_id": 1}}, *ends]
    known = {token: {"id": token, "ids": [i], "tokens": [token]} for i, token in filter(None, [first, last])}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": known}


def gemma():
    """A vocabulary of pieces with the word boundary as a letter, and of bytes."""
    tokenizer = Tokenizer(BPE(fuse_unk=True, byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = Replace(" ", "▁")
    tokenizer.pre_tokenizer = Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    texts = [text for text in TEXTS if text.isascii() and text.isprintable()]
    trainer = BpeTrainer(vocab_size=400, special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)])
    tokenizer.train_from_iterator(texts, trainer)
    base = json.loads(tokenizer.to_str())
    base["added_tokens"] = base["added_tokens"][: len(special)]
    return {**base, "post_processor": around((2, "<bos>"), None)}


def herbert():
    """A vocabulary of cased words, whose last pieces have a suffix."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = BpeTrainer(vocab_size=220, special_tokens=special, end_of_word_suffix="</w>")
    tokenizer.train_from_iterator([text for text in TEXTS if text.isascii() and text.isprintable()], trainer)
    return json.loads(tokenizer.to_str())


BERT_ADDED = {str(i): token(t) for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
ROBERTA_ADDED = {str(i): token(t) for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>"])}
ROBERTA_ADDED["4"] = token("<mask>", lstrip=True)
QWEN_ADDED = {str(420 + i): token(t) for i, t in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])}
QWEN = {
    "tokenizer_class": "Qwen2Tokenizer",
    "add_bos_token": False,
    "add_prefix_space": False,
    "added_tokens_decoder": QWEN_ADDED,
    "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
    "bos_token": None,
    "eos_token": "<|im_end|>",
    "errors": "replace",
    "model_max_length": 131072,
    "pad_token": "<|endoftext|>",
    "split_special_tokens": False,
    "unk_token": None,
}
QWEN_ENDS = {"post_processor": around(None, (420, "<|endoftext|>")), "added_tokens": []}
CLIP = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
XLM_NAMES = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": {"__type": "AddedToken", **token("<mask>", lstrip=True)},
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}

LLAMA = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
GPT2 = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

# name: (model_type, base, replaced keys of tokenizer.json, tokenizer_config.json or None, more)
CASES = {
    "bert-class-lowercases-by-default": ("bert", "bert", {}, {"tokenizer_class": "BertTokenizer"}),
    "bert-fast-cased": ("bert", "bert", {}, {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}),
    "bert-cased-strips-accents": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True},
    ),
    "bert-keeps-accents": ("bert", "uncased", {}, {"tokenizer_class": "BertTokenizer", "strip_accents": False}),
    "bert-null-accents": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "strip_accents": None, "do_lower_case": True},
    ),
    "bert-chinese-in-one-word": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "tokenize_chinese_chars": False},
    ),
    "bert-no-config": ("bert", "bert", {}, None),
    "bert-config-without-class": ("bert", "bert", {}, {"model_max_length": 10**30, "do_lower_case": False}),
    "bert-baked-padding": (
        "bert",
        "uncased",
        {"padding": PADDING, "truncation": TRUNCATION},
        {"tokenizer_class": "BertTokenizer", "model_max_length": 64},
    ),
    "bert-odd-model-settings": (
        "bert",
        "bert",
        {
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
        },
        {"tokenizer_class": "BertTokenizer"},
    ),
    "bert-tokens-decoder": (
        "bert",
        "bert",
        {},
        {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "cls_token": "[CLS]",
            "added_tokens_decoder": {
                **BERT_ADDED,
                "4": token("[MASK]", lstrip=True, rstrip=True),
                "500": token("new-token", normalized=True, special=False),
                "501": token("<extra>", single_word=True),
            },
        },
    ),
    "bert-tokens-decoder-empty": ("bert", "bert", {}, {"tokenizer_class": "BertTokenizer", "added_tokens_decoder": {}}),
    "bert-extra-tokens": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "additional_special_tokens": ["<extra>", "new-token"]},
    ),
    "bert-named-extra-tokens": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "extra_special_tokens": {"x_token": "<extra>"}, "y_token": "new-token"},
    ),
    "bert-special-tokens-map": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "mask_token": "[MASK]"},
        {
            "special_tokens_map.json": {
                "cls_token": "[SEP]",
                "sep_token": {"content": "[CLS]"},
                "mask_token": token("<extra>", lstrip=True),
            },
            "added_tokens.json": {"new-token": 430, "<extra>": 429},
        },
    ),
    "bert-splits-special-tokens": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "split_special_tokens": True},
    ),
    "bert-no-token-types": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "model_input_names": ["input_ids", "attention_mask"]},
    ),
    "bert-left": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "padding_side": "left", "truncation_side": "left", "max_len": 77},
    ),
    "bert-sentence-lowercase": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
        {},
        True,
    ),
    "bert-auto-map": (
        "bert",
        "bert",
        {},
        {"auto_map": {"AutoTokenizer": ["x.Y", None]}, "tokenizer_class": "DistilBertTokenizer"},
    ),
    "bert-with-unigram": (
        "bert",
        "unigram",
        {},
        {"unk_token": "<unk>", "sep_token": "</s>", "cls_token": "<s>", "pad_token": "<pad>", "mask_token": "<mask>"},
    ),
    "bert-with-xlm-roberta-class": (
        "bert",
        "unigram",
        {"normalizer": CHARSMAP},
        {"tokenizer_class": "XLMRobertaTokenizerFast"},
    ),
    "bert-with-class-in-model-config": (
        "bert",
        "unigram",
        {},
        None,
        {"config.json": {"tokenizer_class": "XLMRobertaTokenizer"}},
    ),
    "distilbert-class": ("distilbert", "uncased", {}, {"tokenizer_class": "DistilBertTokenizer"}),
    "distilbert-no-config": ("distilbert", "bert", {}, None),
    "electra-class": ("electra", "uncased", {}, {"tokenizer_class": "ElectraTokenizerFast"}),
    "electra-no-config": ("electra", "bert", {}, None),
    "modernbert-overrules-class": ("modernbert", "bert", {}, {"tokenizer_class": "BertTokenizer"}),
    "nomic-bert-no-config": ("nomic_bert", "bert", {}, None),
    "unknown-class": ("bert", "bert", {}, {"tokenizer_class": "SomeTokenizer", "do_lower_case": True}),
    "generic-ignores-flags": (
        "bert",
        "bert",
        {},
        {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True, "clean_up_tokenization_spaces": True},
    ),
    "generic-baked-padding": (
        "bert",
        "uncased",
        {"padding": PADDING, "truncation": TRUNCATION},
        {"tokenizer_class": "TokenizersBackend"},
    ),
    "generic-token-types": (
        "bert",
        "uncased",
        {},
        {
            "tokenizer_class": "TokenizersBackend",
            "pad_token": "[PAD]",
            "model_input_names": ["input_ids", "token_type_ids"],
        },
    ),
    "generic-no-post-processor": (
        "bert",
        "uncased",
        {"post_processor": None},
        {"tokenizer_class": "TokenizersBackend", "pad_token": "[PAD]", "model_input_names": ["token_type_ids"]},
    ),
    "generic-sequence-of-processors": (
        "roberta",
        "roberta",
        {
            "post_processor": {
                "type": "Sequence",
                "processors": [
                    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
                    {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
                ],
            }
        },
        {"tokenizer_class": "TokenizersBackend", "pad_token": "<pad>", "model_input_names": ["token_type_ids"]},
    ),
    "generic-other-flags-for-known-tokens": (
        "bert",
        "bert",
        {},
        {
            "tokenizer_class": "TokenizersBackend",
            "pad_token": "[PAD]",
            "mask_token": "[MASK]",
            "added_tokens_decoder": {**BERT_ADDED, "4": token("[MASK]", lstrip=True, normalized=True, special=False)},
        },
    ),
    "generic-new-tokens": (
        "bert",
        "bert",
        {
            "added_tokens": listed(
                (0, token("[PAD]")), (700, token("new-token", special=False, normalized=True)), (600, token("<extra>"))
            )
        },
        {"tokenizer_class": "TokenizersBackend", "pad_token": "[PAD]", "bos_token": "[unused0]", "eos_token": None},
    ),
    "generic-sentence-lowercase": (
        "bert",
        "bert",
        {"added_tokens": listed((0, token("[PAD]")), (420, token("New-Token", special=False, normalized=True)))},
        {"tokenizer_class": "TokenizersBackend", "pad_token": "[PAD]"},
        {},
        True,
    ),
    "generic-sentence-lowercase-sequence": (
        "xlm-roberta",
        "unigram",
        {},
        {"tokenizer_class": "TokenizersBackend", "pad_token": "<pad>"},
        {},
        True,
    ),
    "generic-sentence-lowercase-twice": (
        "bert",
        "bert",
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]}},
        {"tokenizer_class": "TokenizersBackend", "pad_token": "[PAD]"},
        {},
        True,
    ),
    "mpnet-class": ("mpnet", "mpnet", {}, {"tokenizer_class": "MPNetTokenizer"}),
    "mpnet-fast-cased": ("mpnet", "mpnet", {}, {"tokenizer_class": "MPNetTokenizerFast", "do_lower_case": False}),
    "mpnet-no-config": ("mpnet", "mpnet", {}, None),
    "mpnet-mask-takes-space": (
        "mpnet",
        "mpnet",
        {"added_tokens": listed((0, token("<s>")), (2, token("</s>")))},
        {"tokenizer_class": "MPNetTokenizer", "mask_token": "<mask>"},
    ),
    "roberta-class": ("roberta", "roberta", {}, {"tokenizer_class": "RobertaTokenizer"}),
    "roberta-prefix-space": (
        "roberta",
        "roberta",
        {"added_tokens": []},
        {
            "tokenizer_class": "RobertaTokenizerFast",
            "add_prefix_space": True,
            "trim_offsets": False,
            "mask_token": {"__type": "AddedToken", **token("<mask>", lstrip=True)},
        },
    ),
    "roberta-no-config": ("roberta", "roberta", {}, None),
    "roberta-tokens-decoder": (
        "roberta",
        "roberta",
        {},
        {"tokenizer_class": "RobertaTokenizer", "added_tokens_decoder": ROBERTA_ADDED, "max_len": 512},
    ),
    "roberta-with-bert-class": ("roberta", "bert", {}, {"tokenizer_class": "BertTokenizer"}),
    "xlm-roberta-class": ("xlm-roberta", "unigram", {}, {"tokenizer_class": "XLMRobertaTokenizer"}),
    "xlm-roberta-charsmap": (
        "xlm-roberta",
        "unigram",
        {"normalizer": CHARSMAP},
        {"tokenizer_class": "XLMRobertaTokenizerFast"},
    ),
    "xlm-roberta-charsmap-in-sequence": (
        "xlm-roberta",
        "unigram",
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, CHARSMAP]}},
        {"tokenizer_class": "XLMRobertaTokenizer", "added_tokens_decoder": ROBERTA_ADDED},
    ),
    "xlm-roberta-no-prefix-space": (
        "xlm-roberta",
        "unigram",
        {},
        {"tokenizer_class": "XLMRobertaTokenizer", "add_prefix_space": False},
    ),
    "xlm-roberta-no-config": ("xlm-roberta", "unigram", {"normalizer": CHARSMAP}, None),
    "xlm-roberta-generic": (
        "xlm-roberta",
        "unigram",
        {"normalizer": CHARSMAP},
        {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"},
    ),
    "camembert-class": ("camembert", "unigram", {}, {"tokenizer_class": "CamembertTokenizer"}),
    "camembert-charsmap": (
        "camembert",
        "unigram",
        {"normalizer": CHARSMAP, "added_tokens": []},
        {"tokenizer_class": "CamembertTokenizerFast"},
    ),
    "camembert-own-extra-tokens": (
        "camembert",
        "unigram",
        {},
        {"tokenizer_class": "CamembertTokenizer", "additional_special_tokens": ["<s>NOTUSED"], "unk_token": "<mask>"},
    ),
    "camembert-no-config": ("camembert", "unigram", {}, None),
    "albert-class": ("albert", "unigram", {}, {"tokenizer_class": "AlbertTokenizer", **XLM_NAMES}),
    "albert-own-tokens": (
        "albert",
        "unigram",
        {},
        {"tokenizer_class": "AlbertTokenizer", "cls_token": "<s>", "sep_token": "</s>"},
    ),
    "albert-cased-charsmap": (
        "albert",
        "unigram",
        {"normalizer": CHARSMAP, "post_processor": None},
        {
            "tokenizer_class": "AlbertTokenizerFast",
            "do_lower_case": False,
            "keep_accents": True,
            "add_prefix_space": False,
            **XLM_NAMES,
        },
    ),
    "albert-class-in-model-config": (
        "albert",
        "unigram",
        {"normalizer": CHARSMAP},
        None,
        {"config.json": {"tokenizer_class": "AlbertTokenizer"}, "special_tokens_map.json": XLM_NAMES},
    ),
    "deberta-v2-class": ("deberta-v2", "unigram", {}, {"tokenizer_class": "DebertaV2Tokenizer", **XLM_NAMES}),
    "deberta-v2-lower-case-punctuation": (
        "deberta-v2",
        "unigram",
        {"normalizer": CHARSMAP, "post_processor": None},
        {
            "tokenizer_class": "DebertaV2TokenizerFast",
            "do_lower_case": True,
            "split_by_punct": True,
            "add_prefix_space": False,
            "vocab_type": "spm",
            **XLM_NAMES,
        },
    ),
    "deberta-v2-unknown-id": (
        "deberta-v2",
        "t5",
        {},
        {"tokenizer_class": "DebertaV2Tokenizer", "unk_id": 7, "unk_token": "[UNK]"},
    ),
    "deberta-v2-no-config": ("deberta-v2", "t5", {}, None),
    "t5-class": ("t5", "t5", {}, {"tokenizer_class": "T5Tokenizer", "extra_ids": 3}),
    "t5-charsmap": (
        "t5",
        "t5",
        {"normalizer": CHARSMAP, "post_processor": None},
        {"tokenizer_class": "T5TokenizerFast", "additional_special_tokens": ["<extra_id_0>", "<extra>"]},
    ),
    "t5-tokens-decoder": (
        "t5",
        "t5",
        {},
        {
            "tokenizer_class": "T5Tokenizer",
            "extra_ids": 0,
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(i): token(t) for i, t in [(0, "<pad>"), (1, "</s>"), (2, "<unk>"), (421, "<extra>")]
            },
        },
    ),
    "t5-no-config": ("t5", "t5", {}, None),
    "qwen3-as-embedding": ("qwen3", "roberta", QWEN_ENDS, QWEN),
    "qwen3-as-reranker": ("qwen3", "roberta", {"post_processor": None, "added_tokens": []}, QWEN),
    "qwen3-prefix-space": (
        "qwen3",
        "roberta",
        {"normalizer": {"type": "Lowercase"}},
        {"tokenizer_class": "Qwen2TokenizerFast", "add_prefix_space": True, "mask_token": "<mask>"},
    ),
    "qwen3-plain-special-tokens": (
        "qwen3",
        "roberta",
        {},
        {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": ROBERTA_ADDED, **XLM_NAMES},
    ),
    "qwen3-no-config": ("qwen3", "roberta", {}, None),
    "qwen2-overrules-class": ("qwen2", "roberta", {}, {"tokenizer_class": "BertTokenizer"}),
    "gemma-class": ("gemma3_text", "gemma", {}, {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True}),
    "gemma-ends": (
        "gemma3_text",
        "gemma",
        {"post_processor": around((2, "<bos>"), (1, "<eos>")), "normalizer": None, "pre_tokenizer": None},
        {"tokenizer_class": "GemmaTokenizerFast", "padding_side": "right", "spaces_between_special_tokens": False},
    ),
    "clip-class": ("bert", "roberta", {}, {"tokenizer_class": "CLIPTokenizer", **CLIP}),
    "gemma-no-config": ("gemma3_text", "gemma", {"post_processor": None}, None),
    "llama-class": ("llama", "gemma", {}, {"tokenizer_class": "LlamaTokenizerFast", **LLAMA, "legacy": None}),
    "llama-legacy": ("bert", "gemma", {}, {"tokenizer_class": "LlamaTokenizer", **LLAMA, "legacy": True}),
    "llama-no-prefix-space": (
        "llama",
        "gemma",
        {"post_processor": around((2, "<bos>"), (1, "<eos>"))},
        {"tokenizer_class": "LlamaTokenizer", **LLAMA, "add_prefix_space": False, "add_bos_token": False},
    ),
    "llama-own-tokens": ("llama", "gemma", {"post_processor": None}, {"tokenizer_class": "LlamaTokenizer"}),
    "llama-of-bytes": (
        "llama",
        "roberta",
        {"normalizer": {"type": "NFC"}},
        {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
    ),
    "mistral-overrules-class": ("mistral", "gemma", {}, {"tokenizer_class": "LlamaTokenizer", **LLAMA}),
    "gpt2-class": (
        "bert",
        "roberta",
        {"normalizer": {"type": "Lowercase"}},
        {"tokenizer_class": "GPT2Tokenizer", **GPT2},
    ),
    "gpt2-prefix-space": (
        "bert",
        "roberta",
        {"post_processor": around(None, (2, "</s>"))},
        {"tokenizer_class": "GPT2TokenizerFast", **GPT2, "add_prefix_space": True, "add_bos_token": True},
    ),
    "gptneox-class": ("bert", "roberta", {}, {"tokenizer_class": "GPTNeoXTokenizerFast", **GPT2}),
    "gptneox-adds-tokens": (
        "bert",
        "roberta",
        {"post_processor": around((0, "<s>"), (2, "</s>"))},
        {"tokenizer_class": "GPTNeoXTokenizer", **GPT2, "add_bos_token": True, "add_eos_token": True},
    ),
    "herbert-class": ("bert", "herbert", {}, {"tokenizer_class": "HerbertTokenizerFast"}),
    "herbert-rebuilt": (
        "bert",
        "herbert",
        {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}},
        {"tokenizer_class": "HerbertTokenizer", "do_lower_case": True, "model_max_length": 514},
    ),
}


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def lowercase_first(backend):
    """What sentence-transformers does for `do_lower_case`."""
    normalizer = backend.normalizer
    steps = list(normalizer) if isinstance(normalizer, NormalizerSequence) else [normalizer] if normalizer else []
    if not any(isinstance(step, Lowercase) for step in steps):
        backend.normalizer = NormalizerSequence([Lowercase(), *steps])


def prompt_length(tokenizer, prompt, max_length):
    """What sentence-transformers does for pooling without the prompt."""
    ids = tokenizer([prompt], truncation="longest_first", max_length=max_length)["input_ids"][0]
    return len(ids) - (ids[-1] in tokenizer.all_special_ids)


def answers(tokenizer):
    def encode(inputs, max_length=None):
        cut = {"truncation": "longest_first", "max_length": max_length} if max_length else {}
        given = tokenizer([list(i) if isinstance(i, tuple) else i for i in inputs], **cut)
        return given["input_ids"], given.get("token_type_ids")

    pairs = [(TEXTS[a], TEXTS[b]) for a, b in PAIRS]
    ids, types = encode(TEXTS)
    pair_ids, pair_types = encode(pairs)
    vocab = tokenizer.get_vocab()
    limit = tokenizer.model_max_length
    decodable = ids[0][:-1] + ids[4] + ids[15] + ids[19]
    return {
        "class": type(tokenizer).__name__,
        "token_type_ids": types is not None,
        "pad_id": tokenizer.pad_token_id,
        "pad_left": tokenizer.padding_side == "left",
        "vocab_size": tokenizer.vocab_size,
        "max_id": max(vocab.values()),
        "model_max_length": limit if limit < 1e20 else None,
        "ids": ids,
        "cut": {n: encode([TEXTS[21], TEXTS[0]], n)[0] for n in LENGTHS},
        "pairs": pair_ids,
        "pair_types": pair_types and ["".join(map(str, row)) for row in pair_types],
        "cut_pairs": {n: encode(pairs, n)[0] for n in PAIR_LENGTHS},
        "prompted": {p: encode([p + TEXTS[0]])[0][0] for p in PROMPTS},
        "prompt_lengths": {p: [prompt_length(tokenizer, p, n) for n in (4, 100)] for p in PROMPTS},
        "decodable": decodable,
        "decoded": [tokenizer.decode(decodable), tokenizer.decode(decodable, skip_special_tokens=True)],
    }


def main(reference):
    write(HERE / "texts.json", {"texts": TEXTS, "pairs": PAIRS})
    bases = {}
    for name, source in BASES.items():
        bases[name] = json.loads((reference / source / "model/tokenizer.json").read_text(encoding="utf-8"))
        write(HERE / "base" / f"{name}.json", bases[name])
    for name, make in {"gemma": gemma, "herbert": herbert}.items():
        bases[name] = make()
        write(HERE / "base" / f"{name}.json", bases[name])
    for name, (model_type, base, replaced, config, *more) in CASES.items():
        files, do_lower_case = [*more, *[{}, False][len(more) :]]
        files = dict(files)
        if config is not None:
            files["tokenizer_config.json"] = config
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            write(folder / "tokenizer.json", {**bases[base], **replaced})
            for file, content in files.items():
                write(folder / file, content)
            write(folder / "config.json", {"model_type": model_type, **files.get("config.json", {})})
            tokenizer = AutoTokenizer.from_pretrained(folder)
            if do_lower_case:
                lowercase_first(tokenizer.backend_tokenizer)
            case = {"model_type": model_type, "base": base, "replaced": replaced, "files": files}
            write(
                HERE / "cases" / f"{name}.json",
                {**case, "do_lower_case": do_lower_case, "expected": answers(tokenizer)},
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
