"""Carry alpha through a trimap's unknown band along the lines that colours form.

In a window of 3x3 pixels the colours of foreground and of background lie nearly on a line each, so
that alpha is there an affine function of the colour. The sum over all windows of what no such
function explains is a quadratic form a'La of the whole alpha, the matting Laplacian (Levin,
Lischinski and Weiss 2008, equations 4 and 12), and the alpha that makes it least is closed-form
matting.

To solve for it takes long, and the exact solution is not the best one: where colours say little it
drifts far from any guess. So it is only approached, from a guess and from coarse to fine: some
steps of conjugate gradients (Hestenes and Stiefel 1952) on each level, with the guess held by a
weak weight. Work and memory go with the number of unknown pixels, not with the picture's size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Chosen on the validation split: fewer halvings or steps leave alpha near the guess, more let
# it drift on coarse levels, whose windows are too large for one line.
HALVINGS = 2
STEPS = 90

# The weight of the guess, beside a pixel's nine windows that weigh 1 each.
GUESS_WEIGHT = 1e-4

# Keeps a window of one colour solvable; small beside the variance of one grey level of 255, 1.5e-5.
# Equation 12 writes it as epsilon over the nine pixels of a window.
COLOUR_VARIANCE = 1e-7 / 9

# Of a level with more unknown pixels in a picture than this the alpha is enlarged from the next
# coarser one: a level takes about 1.3 kB a pixel.
MOST_UNKNOWN = 1_000_000

# TorchScript takes no constants from outside a function: below, windows are 3x3 pixels, a pixel
# shares one with those up to 2 rows and columns away (25 with itself, number 12), and planes are
# padded by as much.


class ColourLines(nn.Module):
    """Carry alpha into the unknown band of a trimap.

    `image [B,3,H,W]` float32 in 0..1; `trimap [B,1,H,W]` float32: 0 background, 1 foreground,
    anything between unknown; `guess [B,1,H,W]` float32 in 0..1, an alpha to begin with. Gives alpha
    `[B,1,H,W]` float32 in 0..1, and the trimap where that is sure. Any size. Pictures of a batch do
    not touch each other, except that all stop at the level that the one with most unknown stops at.
    Solves in float64; where what it sees changed by 1e-7, alpha changed by 0.003 at most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.halvings = HALVINGS
        self.steps = STEPS
        self.weight = GUESS_WEIGHT
        self.variance = COLOUR_VARIANCE
        self.most_unknown = MOST_UNKNOWN

    def forward(self, image: Tensor, trimap: Tensor, guess: Tensor) -> Tensor:
        unknown = (trimap > 0) & (trimap < 1)
        images, knowns, unknowns, guesses = [image], [trimap], [unknown], [guess]
        finest = 0
        while len(images) <= finest + self.halvings and min(image.size(2), image.size(3)) > 1:
            if int(unknown.sum(dim=[1, 2, 3]).max()) > self.most_unknown:
                finest = len(images)
            # A coarse pixel is known where all that it stands for is.
            unknown = _halve(unknown.to(image.dtype)) > 0
            image = _halve(image)
            images.append(image)
            knowns.append(_halve(knowns[-1]))
            unknowns.append(unknown)
            guesses.append(_halve(guesses[-1]))
        alpha = guesses[-1]
        for level in range(len(images) - 1, -1, -1):
            if level < len(images) - 1:
                size = [images[level].size(2), images[level].size(3)]
                alpha = F.interpolate(alpha, size=size, mode="bilinear", align_corners=False)
            alpha = torch.where(unknowns[level], alpha, knowns[level])
            if level >= finest:
                alpha = self._solve(images[level], unknowns[level], guesses[level], alpha)
        return alpha

    def _solve(self, image: Tensor, unknown: Tensor, guess: Tensor, alpha: Tensor) -> Tensor:
        """Lower a'La + w |a - guess|^2 from `alpha` on, in the unknown pixels alone."""
        batch, _, height, width = alpha.size()
        places = F.pad(unknown, [2, 2, 2, 2]).flatten().nonzero().flatten()
        if places.numel() == 0:
            return alpha
        picture = places // ((height + 4) * (width + 4))
        values = _laplacian(image.to(torch.float64), unknown, places, self.variance)
        values[12] += self.weight
        neighbours = _neighbours(places, width)

        whole = F.pad(alpha.to(torch.float64), [2, 2, 2, 2]).flatten()
        held = F.pad(guess.to(torch.float64), [2, 2, 2, 2]).flatten()
        made = whole.index_select(0, places)
        residual = self.weight * held.index_select(0, places) - _apply(values, neighbours, whole)
        scale = 1.0 / values[12]
        direction = scale * residual
        power = _dots(residual, direction, picture, batch)
        spread = torch.zeros_like(whole)
        for _ in range(self.steps):
            spread.index_copy_(0, places, direction)
            pushed = _apply(values, neighbours, spread)
            # Where nothing is left to do the step is 0, not 0/0.
            step = power / _dots(direction, pushed, picture, batch).clamp(min=1e-30)
            step = _of_pixels(step, picture)
            made.addcmul_(direction, step)
            residual.addcmul_(pushed, step, value=-1.0)
            scaled = scale * residual
            next_power = _dots(residual, scaled, picture, batch)
            turn = _of_pixels(next_power / power.clamp(min=1e-30), picture)
            direction = direction.mul_(turn).add_(scaled)
            power = next_power
        whole.index_copy_(0, places, made.clamp(0.0, 1.0))
        whole = whole.view(batch, 1, height + 4, width + 4)
        return whole[:, :, 2:-2, 2:-2].to(alpha.dtype)


def _halve(x: Tensor) -> Tensor:
    """Means of 2x2 squares, of what there is of them at the border."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _neighbours(places: Tensor, width: int) -> list[Tensor]:
    """The place of each of the 25 neighbours of each unknown pixel, in the padded picture."""
    steps = torch.arange(-2, 3, device=places.device)
    offsets = (steps.unsqueeze(1) * (width + 4) + steps).flatten()
    return list((offsets.unsqueeze(1) + places).unbind(0))


def _apply(values: Tensor, neighbours: list[Tensor], x: Tensor) -> Tensor:
    """L x in the unknown pixels: `[U]`, from `values [25,U]` and the padded, flattened x."""
    total = values[0] * x.index_select(0, neighbours[0])
    for i in range(1, len(neighbours)):
        total.addcmul_(values[i], x.index_select(0, neighbours[i]))
    return total


def _dots(a: Tensor, b: Tensor, picture: Tensor, batch: int) -> Tensor:
    """a.b of each picture of the batch: `[B]`."""
    if batch == 1:
        return (a * b).sum().view(1)
    return torch.zeros([batch], dtype=a.dtype, device=a.device).index_add(0, picture, a * b)


def _of_pixels(x: Tensor, picture: Tensor) -> Tensor:
    """To each unknown pixel its picture's number; one picture's number is left to broadcast."""
    return x if x.numel() == 1 else x.index_select(0, picture)


def _laplacian(image: Tensor, unknown: Tensor, places: Tensor, variance: float) -> Tensor:
    """The rows of the matting Laplacian that belong to unknown pixels.

    `image [B,3,H,W]` float64; `unknown [B,1,H,W]` bool; `places [U]`, where they are in the picture
    padded by 2. Gives `[25,U]`: how each pixel hangs together with those two rows and columns
    around it. Only windows that lie wholly in the picture count.
    """
    height, width = image.size(2), image.size(3)
    row = width + 4
    # Windows, by the pixel in their middle, that hold an unknown pixel.
    near = F.max_pool2d(unknown.to(torch.float32), 3, 1, 1) > 0
    inside = torch.zeros_like(near)
    inside[:, :, 1 : height - 1, 1 : width - 1] = True
    middles = F.pad(near & inside, [2, 2, 2, 2]).flatten().nonzero().flatten()
    count = middles.numel()

    colours = F.pad(image, [2, 2, 2, 2]).permute(0, 2, 3, 1).reshape(-1, 3)
    offsets = torch.tensor(
        [-row - 1, -row, -row + 1, -1, 0, 1, row - 1, row, row + 1], device=image.device
    )
    window = colours.index_select(0, (middles.unsqueeze(1) + offsets).flatten()).view(-1, 9, 3)
    apart = window - window.mean(dim=1, keepdim=True)
    covariance = apart.transpose(1, 2) @ apart / 9
    covariance = covariance + variance * torch.eye(3, dtype=image.dtype, device=image.device)
    # With e = R^-1 (I - mean), R R' the covariance, what a window's best affine function makes of
    # pixel j's alpha at pixel i is (1 + e_i.e_j) / 9.
    root = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(root, apart.transpose(1, 2), upper=False) / 3.0
    # By pixel of the window first; one more window, of nothing, for pixels at the border to have 9.
    white = F.pad(white.permute(1, 2, 0), [0, 1])
    ninth = F.pad(torch.full([count], 1.0 / 9.0, dtype=image.dtype, device=image.device), [0, 1])

    number = torch.full([colours.size(0)], count, dtype=torch.int64, device=image.device)
    number.index_copy_(0, middles, torch.arange(count, device=image.device))
    values = torch.zeros([5, 5, places.numel()], dtype=image.dtype, device=image.device)
    # Not range(9), of which the export would make nine copies that take seconds to load.
    for i in range(offsets.numel()):
        y, x = i // 3, i % 3
        mine = number.index_select(0, places - offsets[i])
        share = ninth.expand(9, -1).clone()
        for channel in range(3):
            share.addcmul_(white[channel], white[channel, i])
        values[2, 2] += (mine < count).to(image.dtype)
        block = values[2 - y : 5 - y, 2 - x : 5 - x]
        block -= share.index_select(1, mine).view(3, 3, -1)
    return values.view(25, -1)
