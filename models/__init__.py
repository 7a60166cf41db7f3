"""What a network is: definitions, checkpoints and the pictures they are fed. Imports only torch."""
