"""Tokenizers that follow their class or their file, and inputs of other modalities."""

import json
import logging
import shutil

import pytest
from cases import tiny

from rushlight import Model
from rushlight.exceptions import InvalidInputError


@pytest.fixture
def lowercasing(tmp_path):
    """Return the folder of a cased model whose class lowercases."""
    folder = tmp_path / "model"
    shutil.copytree(tiny("bert-cased-max").model, folder)
    path = folder / "tokenizer_config.json"
    lowercasing = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    path.write_text(json.dumps(json.loads(path.read_text()) | lowercasing))
    return folder


def test_other_ids_than_those_of_the_file_are_told_once(lowercasing, caplog):
    with caplog.at_level(logging.WARNING, "rushlight"):
        by_class = Model(lowercasing)
        by_class.encode(["The Weather"])
        as_filed = Model(lowercasing, tokenizer_as_filed=True)
    (warning,) = caplog.messages
    assert "BertTokenizer" in warning
    assert "tokenizer_as_filed" in warning
    assert str(lowercasing) in warning
    cased = Model(tiny("bert-cased-max").model)
    assert (as_filed.encode("The Weather") == cased.encode("The Weather")).all()
    assert (by_class.encode("The Weather") != cased.encode("The Weather")).any()


def test_a_command_takes_the_file_as_it_is(lowercasing, command, caplog):
    by_class, as_filed = (
        command("encode", lowercasing, *options, stdin="The Weather\n") for options in ([], ["--tokenizer-as-filed"])
    )
    assert len(caplog.messages) == 1  # of the first
    assert by_class.out != as_filed.out


@pytest.mark.parametrize("modality", ["image", "audio", "video"])
def test_other_modalities_are_named(modality):
    model = Model(tiny("embeddinggemma2-composite-text-only").model)
    with pytest.raises(InvalidInputError, match=rf"inputs\[1\]: .*{modality}.* not supported"):
        model.encode(["a text", {modality: "x"}])
