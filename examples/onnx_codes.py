"""A picture to codes and back with ONNX Runtime alone: neither vqcodec nor torch is imported.

vqcodec export --onnx image-f4 -o graphs, then: python onnx_codes.py graphs photo.png back.png
"""

import os
import sys

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or it keeps an identifier in ~/.cache
import onnxruntime  # noqa: E402
from PIL import Image  # noqa: E402

folder, source, target = sys.argv[1:]
encoder, decoder = (onnxruntime.InferenceSession(f"{folder}/{n}coder.onnx") for n in ("en", "de"))
picture = Image.open(source).convert("RGB")
width, height = (side // 4 * 4 for side in picture.size)  # 4: the stride, as the metadata tells
pixels = np.asarray(picture.crop((0, 0, width, height)))[None]
(codes,) = encoder.run(None, {"pixels": pixels})  # (1, height / 4, width / 4), uint16
(decoded,) = decoder.run(None, {"map_0": codes})
Image.fromarray(decoded[0]).save(target)
print(encoder.get_modelmeta().custom_metadata_map, codes.shape, codes[0, 0, :8])
