"""Architecture and training searched together: a product of two spaces.

Run `python examples/joint_search.py`. On the command line, from this folder, the space is `--space joint_search:space`.
"""

import numpy as np
import own_model
from sklearn.datasets import load_digits

from morphogen import Context, Objective, Phase, Stop
from morphogen.estimators import Training
from morphogen.executors import Inline
from morphogen.objective import best
from morphogen.space import Choice, Space
from morphogen.store.memory import Memory
from morphogen.strategies import RandomSearch
from morphogen.study import Study
from morphogen.training.data import Data
from morphogen.training.recipe import Recipe
from morphogen.trial import Proposal

training = Space(
    (
        Choice("train/lr", ("0.003", "0.01", "0.03", "0.1", "0.3"), ordered=True),
        Choice("train/weight_decay", ("0.00001", "0.0001", "0.001"), ordered=True),
        Choice("train/optimizer", ("sgd", "adamw")),
    )
)
space = own_model.space | training


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    data = Data.from_arrays(images[:500].reshape(-1, 8, 8).astype(np.float32) / 16, labels[:500], name="some digits")
    estimator = Training(space, data, Recipe(epochs=2, batch_size=32))
    print(f"{own_model.space.size} architectures x {training.size} ways to train them = {space.size}")
    study = Study(space, Memory(), Inline(), [Objective("accuracy", maximize=True)], seed=0)
    phase = Phase("search", lambda told: (RandomSearch(space), estimator), lambda told: Stop(trials=6))
    winner = best(study.run_phase(phase))
    assert winner is not None and winner.outcome is not None and winner.architecture is not None
    print(f"best: accuracy {winner.outcome.metrics['accuracy']:.3f} with {winner.architecture.text}")
    again = estimator(Proposal(winner.architecture), Context(seed=1))
    print(f"again, with another seed: accuracy {again.metrics['accuracy']:.3f}")


if __name__ == "__main__":
    main()
