"""How good an artifact is: measured on held-out pictures, beside peers that need no training."""
