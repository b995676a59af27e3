"""Training one network: data in memory, augmentation in batches, one plain loop, exact continuation."""

from morphogen.catalog import lazy

EXPORTS = {
    "Augment": "augment",
    "Classification": "task",
    "Data": "dataset",
    "Fit": "fit",
    "Images": "images",
    "Recipe": "recipe",
    "Task": "task",
}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
