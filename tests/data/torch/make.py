"""Writes this folder's fixtures. They were made with torch 1.12.1; any later one would do.

views.bin            torch.save as it is since torch 1.6
views-protocol4.bin  the same with pickle_protocol=4
views-older.bin      torch.save as it was before torch 1.6
views.safetensors    the tensors that all three hold
"""

import json
import pathlib
from collections import OrderedDict

import torch

FOLDER = pathlib.Path(__file__).parent
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def state_dict():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    cube = torch.arange(24, dtype=torch.int32).reshape(2, 3, 4)
    tensors = OrderedDict(
        {
            "base": base,
            "base.again": base,
            "base.transposed": base.t(),
            "base.rows": base[1:3],
            "base.column": base[:, 2],
            "base.every_other": base[::2, 1::2],
            "cube.permuted": cube.permute(2, 0, 1),
            "cube.scalar": cube[1, 2, 3],
            "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
            "scalar": torch.tensor(0.25, dtype=torch.float64),
            "empty": torch.empty(0, 5),
            "parameter": torch.nn.Parameter(torch.tensor([0.1, 0.2, 0.3])),
        }
    )
    for dtype, name in DTYPES.items():
        tensors[name] = torch.tensor([0, 1, 2, 100]).to(dtype)
    return tensors


def save_safetensors(tensors, path):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = bytes(tensor.detach().flatten().clone().view(torch.uint8).tolist())
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def main():
    tensors = state_dict()
    save_safetensors(tensors, FOLDER / "views.safetensors")
    tensors["version"] = 3
    tensors["note"] = "not a tensor"
    tensors["rate"] = 0.5
    tensors["nothing"] = None
    tensors["big"] = 1 << 200
    tensors["nested"] = {"inside": torch.zeros(2), "list": [1, (2, 3, 4, 5), True, False, -1, 70000, []]}
    tensors._metadata = OrderedDict({"": {"version": 1}})
    torch.save(tensors, FOLDER / "views.bin")
    torch.save(tensors, FOLDER / "views-protocol4.bin", pickle_protocol=4)
    torch.save(tensors, FOLDER / "views-older.bin", _use_new_zipfile_serialization=False)


main()
