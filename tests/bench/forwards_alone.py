"""A program: N forwards of an artifact and nothing else. The other side of figure b.

Loads the file as plainly as torch can. Prints one line of JSON: `seconds` from the first forward
to the end of the last, loading left out.
"""

import argparse
import json
import time
import warnings

import numpy as np
import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact")
    parser.add_argument("seen", help="a .npz of photos [N,3,H,W] and one mask [H,W], uint8")
    for name, usual in (("count", 1), ("batch", 1), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    module = torch.jit.load(options.artifact, map_location=options.device).eval()
    with np.load(options.seen) as seen:
        photos, mask = torch.from_numpy(seen["photos"]), torch.from_numpy(seen["mask"])
    start = time.perf_counter()
    with torch.inference_mode():
        for done in range(0, options.count, options.batch):
            batch = min(options.batch, options.count - done)  # of the last, only what is left
            image = photos[torch.arange(done, done + batch) % len(photos)]
            masks = mask.expand(batch, 1, -1, -1)
            # To the device and back, as every picture has to go.
            module(image.to(options.device), masks.to(options.device)).cpu()
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
