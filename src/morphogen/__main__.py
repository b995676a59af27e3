"""`python -m morphogen`, and `torchrun -m morphogen`."""

from morphogen.cli import main

if __name__ == "__main__":
    main()
