"""A program: N forwards of an artifact and nothing else. The other side of figure b.

Loads the file as plainly as torch can. Prints one line of JSON: `seconds` from the first forward
to the end of the last, loading left out.
"""

import argparse
import json
import time
import warnings

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact")
    for name, usual in (("count", 1), ("side", 256), ("batch", 1), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    module = torch.jit.load(options.artifact, map_location=options.device).eval()
    chance = torch.Generator().manual_seed(0)
    size = (options.batch, 3, options.side, options.side)
    image = torch.randint(256, size, generator=chance, dtype=torch.uint8)
    mask = torch.zeros(options.batch, 1, options.side, options.side, dtype=torch.uint8)
    edge = options.side // 4
    mask[..., edge : 2 * edge, edge : 2 * edge] = 255
    start = time.perf_counter()
    with torch.inference_mode():
        for done in range(0, options.count, options.batch):
            some = slice(options.count - done)  # of the last batch, only what is left
            # To the device and back, as every picture has to go.
            module(image[some].to(options.device), mask[some].to(options.device)).cpu()
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
