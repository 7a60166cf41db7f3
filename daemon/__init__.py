"""retouchd's daemon: an inbox of photos and masks in, an outbox of retouched pictures out."""

__version__ = "0.1.0"
